//! Opens the store, serves connections on the listeners that it is given, and ends when the shutdown that it is given completes.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::addresses::{AddressSlot, Addresses};
use crate::committer::Committer;
use crate::connection::{self, Speaks};
use crate::control;
use crate::error::Error;
use crate::figures::{Figures, TurnedAway};
use crate::hooks::Hooks;
use crate::hub::Hub;
use crate::jobs;
use crate::limits::{KEEPALIVE, TOKENS_CHECKED_EVERY};
use crate::reader::Reader;
use crate::retention;
use crate::rooms::Rooms;
use crate::settings::{Live, Settings};
use crate::tokens::Tokens;
#[cfg(feature = "web")]
use crate::web::{self, Site, Visitor};
use dantok_protocol::Refusal;
use dantok_store::Store;

/// Connections over the limit that are told so at the same time; further ones are just closed.
const REFUSED_AT_ONCE: usize = 64;

/// How often the store is asked whether it needs upkeep.
const TEND_EVERY: Duration = Duration::from_secs(1);

/// A listening socket, and what is spoken on it.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// What is spoken on it.
    pub speaks: Speaks,
    /// What is served on it.
    pub serves: Serves,
    /// Whether the socket was passed in. It will be passed to the next daemon as well, which serves whoever connects while this one stops.
    pub is_passed: bool,
}

/// What is served on a listener.
#[derive(Clone, Debug)]
pub enum Serves {
    /// The protocol itself: lines and frames.
    Protocol,
    /// The web.
    #[cfg(feature = "web")]
    Web(Arc<Site>),
}

impl From<TcpListener> for Listener {
    fn from(socket: TcpListener) -> Listener {
        Listener { socket, speaks: Speaks::Plain, serves: Serves::Protocol, is_passed: false }
    }
}

/// How the daemon runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where everything is stored.
    pub data_dir: PathBuf,
    /// Who may connect as which client.
    pub tokens: Arc<Tokens>,
    /// What may be changed while the daemon runs.
    pub settings: Settings,
}

/// Serves until `shutdown` completes; see [`Server::open`] and [`Server::serve`].
///
/// # Errors
/// As both.
pub async fn run(
    listeners: Vec<Listener>,
    options: Options,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    Server::open(options).await?.serve(listeners, shutdown).await
}

/// An open store and everything that works on it.
#[derive(Debug)]
pub struct Server {
    hub: Arc<Hub>,
    data_dir: PathBuf,
    committing: std::thread::JoinHandle<()>,
}

impl Server {
    /// Opens the store.
    ///
    /// # Errors
    /// The store does not open.
    pub async fn open(options: Options) -> Result<Server, Error> {
        let Options { data_dir, tokens, settings } = options;
        let hooks = Arc::new(Hooks::open(&data_dir)?);
        let dir = data_dir.clone();
        let opening = tokio::task::spawn_blocking(move || Store::open(&dir, &dantok_store::Options::default()));
        let opened = opening
            .await
            .map_err(|error| dantok_store::Error::Failed(format!("opening the store panicked: {error}")))?;
        let (store, writer, state) = opened?;
        tokens.note()?;
        let (rooms, settings) = (Arc::new(Rooms::new(state)), Arc::new(Live::new(settings)));
        let figures = Arc::new(Figures::default());
        let started = Committer::start(writer, store.clone(), rooms.clone(), settings.clone(), figures.clone());
        let (committer, committing) = started.map_err(Error::io("start a thread for", &data_dir))?;
        let hub = Arc::new(Hub {
            rooms,
            reader: Reader::new(store.clone(), settings.clone()),
            store,
            committer,
            people: Default::default(),
            tokens,
            hooks,
            settings,
            figures,
            stopping: Default::default(),
            pushed: Default::default(),
            surveyed: Default::default(),
        });
        Ok(Server { hub, data_dir, committing })
    }

    /// What all sessions share. The store closes when the last reference to it is dropped, so whatever [`serve`](Server::serve) does
    /// not stop holds a [`Weak`](std::sync::Weak) one.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Serves until `shutdown` completes. Then stops accepting, carries out and answers what was received, and closes the store.
    ///
    /// # Errors
    /// The store failed while it served: nothing has been acknowledged since.
    pub async fn serve(
        self,
        listeners: Vec<Listener>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Error> {
        let Server { hub, data_dir, committing } = self;
        let store = hub.store.clone();
        let (of_retention, rooms, settings) = (store.clone(), hub.rooms.clone(), hub.settings.clone());
        let expiring = dantok_supervise::task(&crate::duties::RETENTION, move || {
            retention::run(of_retention.clone(), rooms.clone(), settings.clone())
        });
        let of_tending = hub.clone();
        let tending = dantok_supervise::task(&crate::duties::TEND, move || tend(of_tending.clone()));
        let (tokens, rooms) = (hub.tokens.clone(), hub.rooms.clone());
        let rechecking = dantok_supervise::task(&crate::duties::TOKENS, move || recheck(tokens.clone(), rooms.clone()));
        let of_control = hub.clone();
        let controlling = dantok_supervise::task(&crate::duties::CONTROL, move || {
            control::listen(of_control.clone(), data_dir.clone(), jobs::carry_out)
        });
        tracing::info!("ready");

        let failed = serve(listeners, &hub, shutdown).await;

        expiring.abort();
        let _ = expiring.await;
        rechecking.abort();
        let _ = rechecking.await;
        tending.abort();
        let _ = tending.await;
        // It was told to stop with everything else. If it hangs in a failed store, the end does not wait for it.
        let drain_timeout = hub.settings.get().limits.drain_timeout;
        let _ = tokio::time::timeout(drain_timeout, controlling).await;
        drop(hub);
        // The committer ends when the last connection has dropped its handle, the mover when the store is dropped.
        let closing = tokio::task::spawn_blocking(move || {
            // After a failure either may hang in sled, so nothing waits for them.
            if store.failure().get().is_none() {
                let _ = committing.join();
                store.settle();
            }
            store.failure().get()
        });
        match closing.await.ok().flatten().or(failed) {
            Some(why) => Err(dantok_store::Error::Failed(why.to_string()).into()),
            None => Ok(()),
        }
    }
}

/// Does the store's upkeep between commits, even if there are none.
async fn tend(hub: Arc<Hub>) {
    loop {
        tokio::time::sleep(TEND_EVERY).await;
        if hub.store.wants_tending() {
            let hub = hub.clone();
            dantok_supervise::blocking(move || hub.committer.tend()).await;
        }
    }
}

/// Whenever the tokens have changed, has every connection check whether its own is still good.
async fn recheck(tokens: Arc<Tokens>, rooms: Arc<Rooms>) {
    let mut seen = None;
    loop {
        let changes = tokens.refresh();
        if seen.replace(changes).is_some_and(|before| before != changes) {
            rooms.recheck();
        }
        tokio::time::sleep(TOKENS_CHECKED_EVERY).await;
    }
}

/// A connection that has been accepted.
struct Accepted {
    stream: TcpStream,
    peer: SocketAddr,
    speaks: Speaks,
    serves: Serves,
}

impl Accepted {
    /// Whether it is a proxy's, which connects for others.
    fn is_for_others(&self) -> bool {
        match &self.serves {
            Serves::Protocol => false,
            #[cfg(feature = "web")]
            Serves::Web(site) => site.trusts(self.peer),
        }
    }
}

/// What every connection is given.
#[derive(Clone)]
struct Shared {
    hub: Arc<Hub>,
    addresses: Addresses,
    stop: watch::Receiver<bool>,
}

/// Accepts until `shutdown` completes or the store fails, then lets the connections end. Returns why the store failed, if it did.
async fn serve(listeners: Vec<Listener>, hub: &Arc<Hub>, shutdown: impl Future<Output = ()>) -> Option<Arc<str>> {
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let refusals = Arc::new(Semaphore::new(REFUSED_AT_ONCE));
    let shared = Shared { hub: hub.clone(), addresses: Addresses::default(), stop: stopped };
    let failure = async { hub.store.failure().wait().await };
    tokio::pin!(shutdown, failure);
    let failed = loop {
        tokio::select! {
            () = &mut shutdown => break None,
            why = &mut failure => break Some(why),
            accepted = accept(&listeners) => match accepted {
                Ok(accepted) => match shared.admit(connections.len(), &accepted) {
                    Ok(slot) => {
                        connections.spawn(connect(accepted, slot, shared.clone()));
                    }
                    Err(refusal) => {
                        hub.figures.turn_away(refusal.0);
                        refuse(accepted, refusal, shared.clone(), &refusals);
                    }
                },
                Err(error) => {
                    // Out of descriptors or memory. Open connections go on, and free some when they end.
                    tracing::warn!(%error, "can't accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection panicked; this is a bug");
                }
            }
        }
    };
    // Connections that wait in the kernel to be accepted: their peers may have sent something.
    let limits = &hub.settings.get().limits;
    for Listener { socket, speaks, serves, is_passed: _ } in
        listeners.into_iter().filter(|listener| !listener.is_passed)
    {
        let Ok(socket) = socket.into_std() else { continue };
        while connections.len() < limits.connections_max
            && let Ok((stream, peer)) = socket.accept()
        {
            if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream))
                && let accepted = (Accepted { stream, peer, speaks: speaks.clone(), serves: serves.clone() })
                && let Ok(slot) = shared.admit(connections.len(), &accepted)
            {
                connections.spawn(connect(accepted, slot, shared.clone()));
            }
        }
    }
    tracing::info!(connections = connections.len(), "stopping");
    // Only connections receive this, and there may be none.
    let _ = stop.send(true);
    hub.stopping.cancel();
    let drained =
        tokio::time::timeout(limits.drain_timeout, async { while connections.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::warn!(connections = connections.len(), "closing connections that did not read their answers in time");
        connections.shutdown().await;
    }
    failed
}

impl Shared {
    /// Checks whether one more connection may be opened.
    fn admit(
        &self,
        connections: usize,
        accepted: &Accepted,
    ) -> Result<Option<Box<AddressSlot>>, (TurnedAway, Refusal)> {
        let limits = &self.hub.settings.get().limits;
        if connections >= limits.connections_max {
            return Err((TurnedAway::Connections, Refusal::limit("connections", limits.connections_max)));
        }
        if accepted.is_for_others() {
            return Ok(None);
        }
        // They are counted even without a limit, because a reload may set one.
        let max = match limits.connections_per_address_max {
            0 => usize::MAX,
            max => max,
        };
        let slot = self.addresses.admit(accepted.peer.ip(), max).map(|slot| Some(Box::new(slot)));
        slot.ok_or_else(|| (TurnedAway::Address, Refusal::limit("connections from one address", max)))
    }

    #[cfg(feature = "web")]
    fn visitor(self, peer: SocketAddr, site: Arc<Site>) -> Visitor {
        let Shared { hub, addresses, stop } = self;
        let is_trusted_proxy = site.trusts(peer);
        Visitor {
            site,
            hub,
            addresses,
            stop,
            peer: peer.ip(),
            is_trusted_proxy,
            is_tls: false,
            kept: Default::default(),
        }
    }
}

async fn accept(listeners: &[Listener]) -> io::Result<Accepted> {
    std::future::poll_fn(|context| {
        for Listener { socket, speaks, serves, is_passed: _ } in listeners {
            if let std::task::Poll::Ready(accepted) = socket.poll_accept(context) {
                return std::task::Poll::Ready(accepted.map(|(stream, peer)| Accepted {
                    stream,
                    peer,
                    speaks: speaks.clone(),
                    serves: serves.clone(),
                }));
            }
        }
        std::task::Poll::Pending
    })
    .await
}

/// Not an `async fn`, whose future would keep the arguments and the peer's name beside what is made of them.
fn connect(accepted: Accepted, slot: Option<Box<AddressSlot>>, shared: Shared) -> impl Future<Output = ()> + Send {
    let Accepted { stream, peer, speaks, serves } = accepted;
    let span = tracing::debug_span!("connection", peer = %peer);
    async move {
        prepare(&stream);
        let open = Open::count(shared.hub.figures.clone());
        let served = match serves {
            Serves::Protocol => connection::serve(stream, speaks, shared.hub, shared.stop).await,
            // Boxed, because it is larger.
            #[cfg(feature = "web")]
            Serves::Web(site) => Box::pin(web::serve(stream, speaks, shared.visitor(peer, site))).await,
        };
        drop(open);
        match served {
            Ok(()) => tracing::debug!("closed"),
            Err(error) => tracing::debug!(%error, "broken"),
        }
        drop(slot);
    }
    .instrument(span)
}

/// Counts a connection as open until it is dropped, however the connection ends.
struct Open(Arc<Figures>);

impl Open {
    fn count(figures: Arc<Figures>) -> Open {
        figures.accepted.add(1);
        Open(figures)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.closed.add(1);
    }
}

fn refuse(accepted: Accepted, refusal: (TurnedAway, Refusal), shared: Shared, refusals: &Arc<Semaphore>) {
    let Accepted { stream, speaks, serves, .. } = accepted;
    if let Ok(permit) = refusals.clone().try_acquire_owned() {
        dantok_supervise::brief("a refusal", async move {
            // It does not matter if the peer never reads its refusal.
            let _ = match serves {
                Serves::Protocol => connection::refuse(stream, speaks, refusal.1, shared.hub.figures.clone()).await,
                #[cfg(feature = "web")]
                Serves::Web(site) => web::refuse(stream, speaks, refusal, shared.visitor(accepted.peer, site)).await,
            };
            drop(permit);
        });
    }
}

/// Disables Nagle's algorithm, leaves urgent data of telnet clients in the stream, and enables keepalive to notice a peer that is gone.
fn prepare(stream: &TcpStream) {
    let set = stream.set_nodelay(true);
    let set = set.and_then(|()| socket2::SockRef::from(stream).set_out_of_band_inline(true));
    if let Err(error) = set.and_then(|()| dantok_net::keep_alive(stream.as_fd(), KEEPALIVE)) {
        tracing::debug!(%error, "can't set the socket's options");
    }
}
