//! Sockets that were opened by whoever started the daemon: systemd's socket activation. They stay open while no daemon runs, so a
//! restart refuses no connection.

use std::net::TcpListener;

use listenfd::ListenFd;
use socket2::SockRef;

/// The sockets that were passed in.
#[derive(Debug, Default)]
pub struct Passed {
    /// For connections without TLS.
    pub plain: Vec<TcpListener>,
    /// For connections with it.
    pub tls: Vec<TcpListener>,
    /// For browsers and HTTP clients.
    pub web: Vec<TcpListener>,
    /// For metrics and health checks.
    pub metrics: Vec<TcpListener>,
}

/// Takes the sockets of `$LISTEN_FDS` and `$LISTEN_FDNAMES`; see sd_listen_fds(3). Call once, before there are threads.
///
/// # Errors
/// A socket does not listen, or has a name that stands for no use.
pub fn inherited() -> Result<Passed, String> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let names: Vec<&str> = names.split(':').collect();
    let mut handed = ListenFd::from_env();
    let mut passed = Passed::default();
    for index in 0..handed.len() {
        let name = names.get(index).copied().unwrap_or_default();
        let of_socket = |what: &str| format!("the socket {name:?} that was passed in (LISTEN_FDS): {what}");
        let socket = handed.take_tcp_listener(index).map_err(|error| of_socket(&error.to_string()))?;
        let Some(socket) = socket else { continue };
        // With Accept=yes systemd passes a connection.
        if !SockRef::from(&socket).is_listener().unwrap_or(false) {
            return Err(of_socket("it does not listen; its unit must not set Accept=yes"));
        }
        socket.set_nonblocking(true).map_err(|error| of_socket(&error.to_string()))?;
        // Without FileDescriptorName= systemd uses the unit's name.
        match name.trim_end_matches(".socket").trim_start_matches("dantok-") {
            "plain" | "dantok" | "unknown" | "" => passed.plain.push(socket),
            "tls" if cfg!(feature = "tls") => passed.tls.push(socket),
            "tls" => return Err(of_socket("this dantok was built without TLS")),
            "web" if cfg!(feature = "web") => passed.web.push(socket),
            "web" => return Err(of_socket("this dantok was built without the web")),
            "metrics" if cfg!(feature = "metrics") => passed.metrics.push(socket),
            "metrics" => return Err(of_socket("this dantok was built without metrics")),
            _ => return Err(of_socket("FileDescriptorName= takes plain, tls, web or metrics")),
        }
    }
    Ok(passed)
}
