//! `dantok restore`.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, IsTerminal as _, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::chain;
use super::file::{Reader, short};
use super::item::{self, Item};
use super::outside::outside_above;
use super::survey::{Survey, survey};
use crate::error::Error;
use crate::hooks;
use crate::progress::Progress;
use crate::tokens::mark;
use dantok_store::RoomState;
use dantok_store::build::{Builder, Site};

/// Restores a backup into a data directory that is empty or missing: this file, the newest one in this directory, or standard input
/// for `-`. `dry_run` only reads all of it and says whether it is valid.
///
/// # Errors
/// What went wrong, for whoever typed the command. Then the data directory is as it was.
pub fn run(from: &Path, dir: &Path, dry_run: bool) -> Result<(), Error> {
    let path = PathBuf::from("standard input");
    if !dry_run {
        outside_above(dir)?;
    }
    if from.as_os_str() != "-" {
        let chain = chain::from(from)?;
        let survey = look_through(&chain)?;
        if !dry_run {
            let site = Site::claim(dir)?;
            restore(&chain, &survey, site, dir)?;
        }
        print_summary(&survey, &chain, dir, dry_run);
    } else if io::stdin().is_terminal() {
        return Err(Error::Command("a backup can't be read from a terminal: name a file or a directory".to_owned()));
    } else if dry_run {
        let survey = survey_pipe(Reader::new(BufReader::new(io::stdin().lock()), &path))?;
        print_summary(&survey, &[path], dir, dry_run);
    } else {
        let site = Site::claim(dir)?;
        let spooled = spool(&site)?;
        let survey = survey_pipe(Reader::open(&spooled))?;
        restore(&[spooled], &survey, site, dir)?;
        print_summary(&survey, &[path], dir, dry_run);
    }
    Ok(())
}

fn look_through(chain: &[PathBuf]) -> Result<Survey, Error> {
    let mut progress = Progress::default();
    survey(chain.iter().map(|path| Reader::open(path)), &mut |path, messages| {
        progress.tell(|| format!("reading {}: {messages} messages", path.display()));
    })
}

fn survey_pipe<R: io::Read>(reader: Result<Reader<R>, Error>) -> Result<Survey, Error> {
    let reader = reader?;
    if let Some(base) = reader.header().base {
        return Err(Error::Command(format!(
            "standard input: this is an incremental backup, which builds on {}: name its file instead, with the others beside it",
            short(&base)
        )));
    }
    let mut progress = Progress::default();
    survey([Ok(reader)], &mut |_, messages| progress.tell(|| format!("reading: {messages} messages")))
}

/// A backup is read twice, so one from a pipe is written to the disk first.
fn spool(site: &Site) -> Result<PathBuf, Error> {
    let path = site.building().join("input.backup");
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let mut file = made.map_err(Error::io("create", &path))?;
    io::copy(&mut io::stdin().lock(), &mut file).map_err(Error::io("write standard input to", &path))?;
    Ok(path)
}

fn restore(chain: &[PathBuf], survey: &Survey, site: Site, dir: &Path) -> Result<(), Error> {
    let building = site.building();
    site.expect_room_for(survey.plain_bytes)?;
    if let Some(hooks) = &survey.files.hooks {
        write_file(&building.join(hooks::NAME), hooks, "write the hooks")?;
    }
    if let Some(tokens) = &survey.files.tokens {
        let path = building.join(mark::DEFAULT);
        mark::set(&building, &path)?;
        // It is empty if the tokens are kept outside the data directory.
        if !tokens.is_empty() {
            write_file(&path, tokens, "write the tokens")?;
        }
    }
    let mut builder = Builder::begin(&building, &survey.state, |room| survey.floor(room.id))?;
    let mut progress = Progress::default();
    let mut restored = 0;
    for path in chain {
        let mut reader = Reader::open(path)?;
        while let Some(block) = reader.block()? {
            for item in item::read(&block) {
                let Some(Item::Messages { room, messages }) = item else { continue };
                let Some(room) = room_of(survey, room) else { continue };
                let messages: Vec<_> =
                    messages.into_iter().filter_map(|message| survey.restored(room, message)).collect();
                restored += messages.len() as u64;
                builder.add(room.id, messages)?;
            }
            progress.tell(|| format!("restoring: {restored} of {} messages", survey.messages));
        }
    }
    let lasts = builder.finish(survey.header.kept_ms)?;
    progress.clear();
    // The files may have changed since they were surveyed.
    let reached = |room: &RoomState| lasts.get(&room.id).map_or(0, |last| last.seq);
    if restored != survey.messages || survey.state.rooms.iter().any(|room| reached(room) != room.last.seq) {
        return Err(Error::Command(format!("{}: the backup changed while it was being restored", dir.display())));
    }
    let spooled = building.join("input.backup");
    if spooled.exists() {
        std::fs::remove_file(&spooled).map_err(Error::io("remove", &spooled))?;
    }
    Ok(site.finish()?)
}

fn room_of(survey: &Survey, room: u64) -> Option<&RoomState> {
    let rooms = &survey.state.rooms;
    rooms.binary_search_by_key(&room, |room| room.id).ok().and_then(|place| rooms.get(place))
}

fn write_file(path: &Path, contents: &[u8], what: &'static str) -> Result<(), Error> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = made.and_then(|mut file: File| {
        file.write_all(contents)?;
        file.sync_all()
    });
    written.map_err(Error::io(what, path))
}

fn print_summary(survey: &Survey, chain: &[PathBuf], dir: &Path, dry_run: bool) {
    for path in chain {
        println!("{} is valid", path.display());
    }
    let time = dantok_protocol::line::time(survey.header.time_ms);
    let what = format!("rooms: {}, messages: {}, as of {time}", survey.state.rooms.len(), survey.messages);
    if dry_run {
        println!("nothing was restored; {what}");
    } else {
        println!("{}: restored; {what}", dir.display());
    }
}
