//! Which messages are past retention, and the task that drops them, a few at a time.

use std::sync::Arc;
use std::time::Duration;

use crate::rooms::Rooms;
use crate::settings::Live;
use dantok_protocol::units;
use dantok_store::Store;

/// Rooms of one pass. Their steps delay commits on the way to sled.
const ROOMS_PER_PASS: usize = 64;

/// The pause between passes while there is more to drop.
const BETWEEN_STEPS: Duration = Duration::from_millis(10);

/// The time, on the kept clock, before which messages are past a retention.
pub fn cutoff_ms(store: &Store, retention: Duration) -> u64 {
    store.clock().now_ms().saturating_sub(units::ms(retention))
}

/// Drops some of the messages taken before each room's `cutoff_ms` on the kept clock. Returns the rooms that may have such messages.
pub fn pass(store: &Store, cutoff_ms: impl Fn(u64) -> u64) -> Vec<u64> {
    let rooms = store.expiring(&cutoff_ms);
    for room in rooms.iter().take(ROOMS_PER_PASS) {
        store.expire(*room, cutoff_ms(*room));
    }
    rooms
}

/// Makes such passes for ever.
pub async fn run(store: Arc<Store>, rooms: Arc<Rooms>, settings: Arc<Live>) {
    // The rooms of the previous pass, whose messages are gone by now.
    let mut before = Vec::new();
    loop {
        let retention = settings.retention();
        let (store, rooms) = (store.clone(), rooms.clone());
        before = dantok_supervise::blocking(move || {
            let of_room = |room| rooms.by_id(room).map_or(retention, |room| room.retention(retention));
            let expiring = pass(&store, |room| cutoff_ms(&store, of_room(room)));
            for room in before.into_iter().filter_map(|id| rooms.by_id(id)) {
                rooms.expired(&room, store.floor(room.id));
            }
            expiring
        })
        .await;
        let period = (retention / 100).clamp(Duration::from_millis(50), Duration::from_secs(30));
        tokio::time::sleep(if before.is_empty() { period } else { BETWEEN_STEPS }).await;
    }
}
