//! A bad network and misbehaving peers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Run, Schedule};
use crate::daemon::Addresses;
use crate::load::{Load, ROOMS, Shape};
use crate::proxy::Proxy;
use crate::web::{Socket, frame, messages};
use crate::wire::Wire;

pub(super) const SCHEDULE: Schedule = Schedule {
    name: "network",
    about: "Connections cut in every state, lost answers, half-open peers, one byte at a time, readers that stop",
    needs: &[],
    cycles: 6,
    run,
};

fn run(run: &mut Run) {
    let recipe = run.recipe().with_web();
    let proxies = Proxy::start(run.random.fork()).and_then(|lines| Ok((lines, Proxy::start(run.random.fork())?)));
    let (proxy, web_proxy) = match proxies {
        Ok(proxies) => proxies,
        Err(error) => return run.history.violation(format!("can't listen: {error}")),
    };
    let shape = Shape { senders: run.random.usize(3..=6), followers: 2, readers: 2, ..Shape::random(&mut run.random) };
    let shape = shape.with_web(&mut run.random);
    let load = Load::start(&run.history, &shape, &mut run.random);
    let mut up = None;
    for _ in 0..run.cycles {
        let Some((daemon, address)) = up.take().or_else(|| run.must_start(&recipe, "a bad network")) else { break };
        let addresses = daemon.addresses(address);
        proxy.lead_to(address);
        if let Some(web) = addresses.web {
            web_proxy.lead_to(web);
        }
        load.resume(Addresses { lines: proxy.address(), web: Some(web_proxy.address()) });
        let mut pests = Vec::new();
        for _ in 0..run.random.usize(1..8) {
            let mut random = run.random.fork();
            let pest = match addresses.web.filter(|_| random.u8(..3) == 0) {
                Some(web) => web_pest(web, &mut random),
                None => pest(address, &mut random),
            };
            match pest {
                Ok(pest) => pests.push(pest),
                Err(error) => run.history.violation(format!("a connection was not served: {error}")),
            }
            run.count("peers that stop in the middle of a command");
        }
        std::thread::sleep(Duration::from_millis(run.random.u64(100..600)));
        load.pause();
        run.audit(address);
        drop(pests);
        if run.random.u8(..3) == 0 {
            let mut daemon = daemon;
            daemon.kill_and_wait();
            run.count("SIGKILLs afterwards");
        } else {
            up = Some((daemon, address));
        }
        if !run.is_intact() {
            break;
        }
    }
    drop(up);
    if let Some((daemon, address)) = run.must_start(&recipe, "a bad network") {
        // What failed on the bad network is repeated on a good one.
        load.resume(daemon.addresses(address));
        std::thread::sleep(Duration::from_millis(100));
        load.pause();
        run.audit(address);
        run.must_end(daemon);
    }
    load.stop(&run.history);
    for (fate, times) in proxy.fates().into_iter().chain(web_proxy.fates()) {
        *run.tried.entry(fate.to_owned()).or_default() += times;
    }
    drop((proxy, web_proxy));
    run.must_check(&recipe);
}

/// A peer that stops in the middle of a command and stays connected.
fn pest(address: SocketAddr, random: &mut fastrand::Rng) -> io::Result<Wire> {
    let mut wire = Wire::connect(address)?;
    let room = ROOMS[0];
    let partial = match random.u8(..8) {
        0 => String::new(),
        1 => "HEL".to_owned(),
        2 => format!("HELLO pest\nJOIN {room}\nSEND {room} #0 never ended"),
        3 => format!("HELLO pest\nJOIN {room}\nSENDB {room} 50000\n#0 never all of it"),
        4 => format!("HELLO pest\nJOIN {room}\nSENDB {room} 9\n#0 whole "),
        // Asks for everything and reads nothing.
        5 => format!("HELLO pest\nJOIN {room}\nFOLLOW {room}\n"),
        6 => format!("HELLO pest\nJOIN {room}\n{}", format!("FETCH {room} after=0\n").repeat(500)),
        _ => "\0\0\0".to_owned(),
    };
    wire.send(partial.as_bytes())?;
    if random.bool() {
        // Closes its sending direction only.
        wire.stream().shutdown(std::net::Shutdown::Write)?;
    }
    Ok(wire)
}

/// The same on the web.
fn web_pest(address: SocketAddr, random: &mut fastrand::Rng) -> io::Result<Wire> {
    let room = ROOMS[0];
    let post = format!("POST {} HTTP/1.1\r\nHost: {address}\r\nDantok-Client: pest\r\n", messages(room));
    let partial = match random.u8(..6) {
        0 => "GE".to_owned(),
        1 => post,
        2 => format!("{post}Content-Length: 50000\r\n\r\n#0 never all of it"),
        3 => format!("{post}Transfer-Encoding: chunked\r\n\r\nff\r\n#0 never all of it"),
        way => {
            let mut wire = Socket::hello(address, "pest")?.into_wire();
            let mut bytes = Vec::new();
            if way == 4 {
                // Asks for everything and reads nothing.
                frame(0x81, format!(r#"{{"do":"join","room":"{room}"}}"#).as_bytes(), &mut bytes);
                for _ in 0..500 {
                    let fetch = format!(r#"{{"do":"fetch","room":"{room}","after":0}}"#);
                    frame(0x81, fetch.as_bytes(), &mut bytes);
                }
            } else {
                let send = format!(r##"{{"do":"send","room":"{room}","text":"#0 never ended"}}"##);
                frame(0x81, send.as_bytes(), &mut bytes);
                bytes.truncate(bytes.len() - 1);
            }
            wire.send(&bytes)?;
            return Ok(wire);
        }
    };
    let mut wire = Wire::connect(address)?;
    wire.send(partial.as_bytes())?;
    Ok(wire)
}
