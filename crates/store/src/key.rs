//! Keys of sled's trees. Numbers are big-endian, so that sled orders keys by room and seq.

/// `messages`: room, first seq of the chunk, part of the chunk.
pub fn chunk(room: u64, first_seq: u64, part: u32) -> [u8; 20] {
    let mut key = [0; 20];
    let (room_bytes, rest) = key.split_at_mut(8);
    let (seq_bytes, part_bytes) = rest.split_at_mut(8);
    room_bytes.copy_from_slice(&room.to_be_bytes());
    seq_bytes.copy_from_slice(&first_seq.to_be_bytes());
    part_bytes.copy_from_slice(&part.to_be_bytes());
    key
}

/// Parses a `messages` key: the room, first seq and part.
pub(crate) fn parse_chunk(key: &[u8]) -> Option<(u64, u64, u32)> {
    let (room, rest) = key.split_first_chunk::<8>()?;
    let (seq, part) = rest.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*room), u64::from_be_bytes(*seq), u32::from_be_bytes(part.try_into().ok()?)))
}

/// `rooms`: the room.
pub fn room(room: u64) -> [u8; 8] {
    room.to_be_bytes()
}

/// `members`: room, client with its device. `access`: room, person.
pub fn member(room: u64, client: &str) -> Vec<u8> {
    [&room.to_be_bytes()[..], client.as_bytes()].concat()
}

/// Parses a `members` or `access` key: the room and client.
pub(crate) fn parse_member(key: &[u8]) -> Option<(u64, &str)> {
    let (room, client) = key.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*room), std::str::from_utf8(client).ok()?))
}

/// `ids`: room, client with its device, a zero byte (which no name has), message id.
pub fn message_id(room: u64, client: &str, id: &str) -> Vec<u8> {
    [&room.to_be_bytes()[..], client.as_bytes(), &[0], id.as_bytes()].concat()
}

/// Parses an `ids` key: the room, client and message id.
pub(crate) fn parse_message_id(key: &[u8]) -> Option<(u64, &str, &str)> {
    let (room, rest) = key.split_first_chunk::<8>()?;
    let (client, id) = std::str::from_utf8(rest).ok()?.split_once('\0')?;
    Some((u64::from_be_bytes(*room), client, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_and_sort_by_room_then_seq() {
        assert_eq!(parse_chunk(&chunk(7, 9, 3)), Some((7, 9, 3)));
        assert_eq!(parse_member(&member(7, "alice/phone")), Some((7, "alice/phone")));
        assert_eq!(parse_message_id(&message_id(7, "alice/phone", "x")), Some((7, "alice/phone", "x")));
        assert!(chunk(1, 256, 0) > chunk(1, 255, 9));
        assert!(chunk(2, 1, 0) > chunk(1, u64::MAX, u32::MAX));
        assert_ne!(message_id(1, "a", "bc"), message_id(1, "ab", "c"));
    }
}
