//! Posts a directory of chat logs (`*.log`, as IRC clients write them) as their original speakers: a room a file, each nick a
//! client of its own. Ids are the lines' numbers, so that a second run within retention adds nothing.
//!
//! ```text
//! cargo run --release --example replay -- DIR [--server 127.0.0.1:7420]
//! ```

#[path = "support/irc.rs"]
mod irc;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, Command, value_parser};
use dantok_client::{Client, Options};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinSet;

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let matches = Command::new("replay")
        .about("Post chat logs as their original speakers, a room a file")
        .arg(Arg::new("dir").required(true).value_name("DIR").value_parser(value_parser!(PathBuf)).help("Holds *.log"))
        .arg(Arg::new("server").long("server").value_name("ADDRESS").default_value("127.0.0.1:7420").help("The daemon"))
        .get_matches();
    let dir = matches.get_one::<PathBuf>("dir").ok_or("DIR is missing")?;
    let server = matches.get_one::<String>("server").ok_or("--server is missing")?;

    let logs = irc::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let lines: usize = logs.iter().map(|log| log.lines.len()).sum();
    if lines == 0 {
        return Err(format!("{}: no *.log with a message in it", dir.display()).into());
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} lines, {per_sec}, {eta} left")?;
    let bar = ProgressBar::new(lines as u64).with_style(style);
    let (rooms, mut tasks) = (logs.len(), JoinSet::new());
    for log in logs {
        tasks.spawn(replay(server.clone(), log, bar.clone()));
    }
    let mut dups = 0;
    while let Some(replayed) = tasks.join_next().await {
        dups += replayed??;
    }
    bar.finish();
    println!("{lines} lines in {rooms} rooms; {dups} were already there");
    Ok(())
}

/// Posts one log. Each line waits for the one before it, whoever wrote that, so that the room has the log's order.
async fn replay(server: String, log: irc::Log, bar: ProgressBar) -> Result<u64, Error> {
    let mut speakers: HashMap<String, Client> = HashMap::new();
    let mut dups = 0;
    for (number, line) in (1u64..).zip(log.lines) {
        let speaker = match speakers.entry(line.nick) {
            std::collections::hash_map::Entry::Occupied(speaker) => speaker.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                let patience = Some(Duration::from_secs(30));
                let client =
                    Client::connect(Options { reconnect: patience, ..Options::new(&server, new.key()) }).await?;
                client.join(&log.room).await?;
                new.insert(client)
            }
        };
        let sent = speaker.send_with_id(&log.room, &format!("line-{number}"), line.text).await?;
        dups += u64::from(sent.dup);
        bar.inc(1);
    }
    Ok(dups)
}
