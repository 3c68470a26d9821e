//! Checks a data directory that is not in use, and reports everything that is not as it was written.
//!
//! It changes nothing. As soon as sled opens its files, it overwrites what it takes for the torn end of its log, and if a bit has
//! flipped, that may be most of the log. So a copy of its files is opened.

mod copy;
mod known;
mod trees;

use std::collections::HashSet;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::path::Path;

use self::copy::Copy;
use self::known::Known;
use crate::commit::Commit;
use crate::error::Error;
use crate::record::Stored;
use crate::segments::Segments;
use crate::tables::{Tables, Tree};
use crate::{disk, journal, key, migrate};

/// The most damage to report: a damaged disk may have more than anybody reads.
const FINDINGS_MAX: usize = 1000;

/// What was checked, and what was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The parts, in the order in which they were checked.
    pub parts: Vec<Part>,
    /// What the operator should know although it is not damage.
    pub remarks: Vec<String>,
}

/// A part of the data directory.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Its name.
    pub name: &'static str,
    /// How much it holds.
    pub figures: String,
    /// What is wrong with it, one line each.
    pub damage: Vec<String>,
}

impl Report {
    /// Whether everything is as it was written.
    pub fn is_intact(&self) -> bool {
        self.parts.iter().all(|part| part.damage.is_empty())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            let (name, figures) = (part.name, &part.figures);
            match part.damage.len() {
                0 => writeln!(out, "{name:<10} intact: {figures}")?,
                FINDINGS_MAX.. => writeln!(out, "{name:<10} DAMAGED in {FINDINGS_MAX} places or more: {figures}")?,
                places => writeln!(out, "{name:<10} DAMAGED in {places} places: {figures}")?,
            }
            for damage in &part.damage {
                writeln!(out, "{:<10} {damage}", "")?;
            }
        }
        for remark in &self.remarks {
            writeln!(out, "note: {remark}")?;
        }
        Ok(())
    }
}

/// The progress of a check.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The part that is being checked.
    pub part: &'static str,
    /// Its records so far.
    pub records: u64,
}

/// Checks everything: checksums, consecutive seqs, cursors, ids. sled's files are copied into `scratch` for this.
///
/// # Errors
/// There is no data directory, it is in use, or it has an unknown format; `scratch` has no room; I/O errors that concern all of
/// it.
pub fn check(dir: &Path, scratch: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
    disk::expect_finished(dir)?;
    // Nothing is created: a mistyped name must not look intact.
    disk::expect_data_dir(dir)?;
    let _lock = disk::lock(dir)?;
    let format = migrate::format_of(dir)?;
    let copy = Copy::of(&dir.join("sled"), scratch)?;
    let mut check = Check { dir, copy: &copy.0, progress, records: 0, report: Report::default() };
    check.run();
    if let Some(format) = format.filter(|format| *format < migrate::FORMAT) {
        let (path, newest) = (dir.display(), migrate::FORMAT);
        check.report.remarks.push(format!("{path}: of format {format}; a start upgrades it to {newest}"));
    }
    Ok(check.report)
}

struct Check<'a> {
    dir: &'a Path,
    copy: &'a Path,
    progress: &'a mut dyn FnMut(Progress),
    records: u64,
    report: Report,
}

impl Check<'_> {
    fn run(&mut self) {
        let copy = self.copy;
        // sled panics on some damage.
        let looked = std::panic::catch_unwind(AssertUnwindSafe(|| self.tables(copy)));
        let (covered, known) = looked
            .unwrap_or_else(|_| {
                self.damage(copy, "sled can't read its files");
                None
            })
            .unzip();
        // If sled can't be read, it is not known how far it covers the journal, which is then checked on its own.
        match (covered, known) {
            (Some(covered), Some(known)) => self.journal(covered, known),
            _ => self.journal(u64::MAX - 1, Known::default()),
        }
    }

    fn part(&mut self, name: &'static str) {
        self.records = 0;
        self.report.parts.push(Part { name, ..Part::default() });
        (self.progress)(Progress { part: name, records: 0 });
    }

    fn figures(&mut self, figures: String) {
        if let Some(part) = self.report.parts.last_mut() {
            part.figures = figures;
        }
    }

    fn damage(&mut self, path: &Path, what: &str) {
        self.finding(format!("{}: {what}", path.display()));
    }

    fn finding(&mut self, what: String) {
        // An error names the copy, which nobody will find.
        let what = what.replace(&self.copy.display().to_string(), &self.dir.join("sled").display().to_string());
        if let Some(part) = self.report.parts.last_mut()
            && part.damage.len() < FINDINGS_MAX
        {
            part.damage.push(what);
        }
    }

    fn took(&mut self) {
        self.records += 1;
        let Some(part) = self.report.parts.last() else { return };
        if self.records.is_multiple_of(4096) {
            (self.progress)(Progress { part: part.name, records: self.records });
        }
    }

    /// A tree's records; what is wrong with one, `visit` says.
    fn each(&mut self, tables: &Tables, tree: Tree, mut visit: impl FnMut(&mut Self, &[u8], &[u8])) {
        let read = tables.each(tree, |key, value| {
            self.took();
            visit(self, key, value);
        });
        if let Err(error) = read {
            self.finding(error.to_string());
        }
    }

    /// Checks sled. Returns the last commit that it covers, and what to compare the journal with; none if it can't be read.
    fn tables(&mut self, dir: &Path) -> Option<(u64, Known)> {
        self.part("store");
        let tables = match Tables::open(dir, Segments::of(self.dir)) {
            Ok(tables) => tables,
            Err(error) => {
                self.finding(error.to_string());
                return None;
            }
        };
        let covered = match tables.checkpointed() {
            Ok((covered, _)) => covered,
            Err(error) => {
                self.finding(error.to_string());
                return None;
            }
        };
        self.figures(format!("{} bytes on disk, commits up to {covered}", tables.disk_bytes().unwrap_or(0)));
        let mut known = Known::default();
        let journal = journal::recover(&self.dir.join("journal"), covered, &mut |_, _, payload| {
            let commit = Commit::decode(&payload).unwrap_or_default().0;
            let id =
                |(room, message): (u64, &Stored)| Some(key::message_id(room, &message.client, message.id.as_deref()?));
            known.unmoved_ids.extend(commit.messages().filter_map(id));
            Ok(())
        });
        // Damage in the journal is reported when that is checked.
        drop(journal);
        self.rooms(&tables, &mut known);
        self.messages(&tables, &known);
        self.ids(&tables, &known);
        self.members(&tables, &known);
        self.access(&tables, &known);
        Some((covered, known))
    }

    /// Checks the journal, and that its commits past sled continue where sled ends.
    fn journal(&mut self, covered: u64, mut known: Known) {
        self.part("journal");
        let dir = self.dir.join("journal");
        let files = match journal::numbers(&dir) {
            Ok(numbers) => numbers.len(),
            Err(error) => return self.finding(error.to_string()),
        };
        let mut broken = HashSet::new();
        let recovered = journal::recover(&dir, covered, &mut |number, _, payload| {
            self.took();
            let Some((commit, _)) = Commit::decode(&payload) else {
                self.damage(&dir, &format!("commit {number} can't be decoded"));
                return Ok(());
            };
            for op in &commit.ops {
                if let Err((room, what)) = known.follow(op)
                    && broken.insert(room)
                {
                    self.damage(&dir, &format!("commit {number}: {what}"));
                }
            }
            Ok(())
        });
        let past = self.records;
        self.figures(format!("{files} files, {past} commits past the store"));
        match recovered {
            Err(error) => self.finding(error.to_string()),
            Ok(recovered) if recovered.cut => self.report.remarks.push(format!(
                "{}: the last commit is torn. A crash does that to a commit that was not acknowledged; the next start cuts it off",
                dir.display()
            )),
            Ok(_) => {}
        }
    }
}
