//! A network between a client and the daemon, that can fail.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct State {
    cut: AtomicBool,
    deaf: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

/// A TCP proxy.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

impl Proxy {
    pub fn start(daemon: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.cut.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(daemon) else { continue };
                let mut open = shared.open.lock().unwrap();
                open.extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                copy(client.try_clone().unwrap(), server.try_clone().unwrap(), None);
                copy(server, client, Some(shared.clone()));
            }
        });
        Proxy { address, state }
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// From now on nothing gets through, and open connections break.
    pub fn cut(&self) {
        self.state.cut.store(true, Ordering::SeqCst);
        for stream in self.state.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// From now on the client's bytes arrive, but it receives none.
    pub fn deafen(&self) {
        self.state.deaf.store(true, Ordering::SeqCst);
    }

    /// Restores the network, for new connections and old.
    pub fn restore(&self) {
        self.state.cut.store(false, Ordering::SeqCst);
        self.state.deaf.store(false, Ordering::SeqCst);
    }
}

/// Copies until either side ends; without a word where the state says that nothing is to be heard.
fn copy(mut from: TcpStream, mut to: TcpStream, deaf: Option<Arc<State>>) {
    std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if deaf.as_ref().is_some_and(|state| state.deaf.load(Ordering::SeqCst)) {
                continue;
            }
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    });
}
