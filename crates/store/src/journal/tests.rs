//! What a crash or damage leaves of a journal, and what a start makes of it.

use std::fs::File;
use std::path::Path;

use super::format::{HEADER_BYTES, RECORD_HEADER_BYTES, RECORD_MAGIC, record_bytes, record_crc};
use super::*;

const FILE_BYTES: u64 = 4096;

fn written(dir: &Path, commits: usize) -> Journal {
    let mut journal = Journal::begin(dir, Recovered::default(), FILE_BYTES).unwrap();
    for n in 1..=commits {
        let (commit, spot) = journal.append(&[n as u8; 100]).unwrap();
        assert_eq!(commit, n as u64);
        let FileId::Journal(number) = spot.file else { panic!("{spot:?}") };
        let at = spot.at as usize;
        assert_eq!(std::fs::read(journal_path(dir, number)).unwrap()[at..at + 100], [n as u8; 100]);
    }
    journal
}

fn read(dir: &Path, covered: u64) -> Result<(Recovered, Vec<u64>), Error> {
    let mut commits = Vec::new();
    let recovered = recover(dir, covered, &mut |commit, spot, payload| {
        assert_eq!(payload, vec![commit as u8; 100]);
        let FileId::Journal(number) = spot.file else { panic!("{spot:?}") };
        let at = spot.at as usize;
        assert_eq!(std::fs::read(journal_path(dir, number)).unwrap()[at..at + 100], payload);
        commits.push(commit);
        Ok(())
    })?;
    Ok((recovered, commits))
}

/// Changes byte `at` of the newest file that has a record, or of the oldest.
fn damage(dir: &Path, newest: bool, at: usize) {
    let mut numbers = numbers(dir).unwrap();
    numbers.retain(|&number| std::fs::read(journal_path(dir, number)).unwrap()[HEADER_BYTES] != 0);
    let number = if newest { numbers.last() } else { numbers.first() };
    let path = journal_path(dir, *number.unwrap());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[at] ^= 0x40;
    std::fs::write(&path, bytes).unwrap();
}

#[test]
fn every_commit_comes_back_over_many_files() {
    let dir = tempfile::tempdir().unwrap();
    drop(written(dir.path(), 100));
    let (recovered, commits) = read(dir.path(), 0).unwrap();
    assert_eq!(commits, (1..=100).collect::<Vec<_>>());
    assert!(!recovered.cut);
    assert_eq!(read(dir.path(), 90).unwrap().1, (91..=100).collect::<Vec<_>>());
    assert_eq!(read(dir.path(), 100).unwrap().1, Vec::<u64>::new());
}

#[test]
fn covered_files_may_go_and_others_may_not() {
    let dir = tempfile::tempdir().unwrap();
    let journal = written(dir.path(), 100);
    for (file, _) in journal.full().covered(60) {
        let FileId::Journal(number) = file else { panic!("{file:?}") };
        std::fs::remove_file(journal_path(dir.path(), number)).unwrap();
    }
    drop(journal);
    assert_eq!(read(dir.path(), 60).unwrap().1, (61..=100).collect::<Vec<_>>());
    let error = read(dir.path(), 5).unwrap_err();
    assert!(error.to_string().contains("a journal file before it is missing"), "{error}");
}

#[test]
fn what_is_covered_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    drop(written(dir.path(), 100));
    damage(dir.path(), false, HEADER_BYTES + 40);
    assert!(matches!(read(dir.path(), 0), Err(Error::Damaged { .. })));
    assert_eq!(read(dir.path(), 60).unwrap().1, (61..=100).collect::<Vec<_>>());
}

#[test]
fn a_torn_tail_is_gone_once_the_journal_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    drop(written(dir.path(), 3));
    let path = journal_path(dir.path(), 1);
    let mut torn = std::fs::read(&path).unwrap();
    torn[HEADER_BYTES + 2 * record_bytes(100) + 50] ^= 1;
    std::fs::write(&path, torn).unwrap();
    let (recovered, _) = read(dir.path(), 0).unwrap();
    assert_eq!((recovered.last_commit, recovered.cut), (2, true));
    let mut journal = Journal::begin(dir.path(), recovered, FILE_BYTES).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len() as usize, HEADER_BYTES + 2 * record_bytes(100));
    assert_eq!(journal.append(&[3; 100]).unwrap().0, 3);
    drop(journal);
    assert_eq!(read(dir.path(), 2).unwrap().1, [3]);
}

#[test]
fn a_torn_tail_is_cut_at_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    drop(written(dir.path(), 3));
    let path = journal_path(dir.path(), 1);
    let whole = std::fs::read(&path).unwrap();
    let last = HEADER_BYTES + 2 * record_bytes(100);
    for kept in last..last + RECORD_HEADER_BYTES + 100 {
        let mut torn = whole.clone();
        torn[kept..].fill(0);
        std::fs::write(&path, torn).unwrap();
        let (recovered, commits) = read(dir.path(), 0).unwrap();
        assert_eq!((recovered.last_commit, commits), (2, vec![1, 2]));
        assert_eq!(recovered.cut, kept > last);
    }
}

#[test]
fn damage_before_the_last_commit_is_reported() {
    let record = record_bytes(100);
    for at in [HEADER_BYTES, HEADER_BYTES + 5, HEADER_BYTES + 30, HEADER_BYTES + record + 60, 9, 33] {
        let dir = tempfile::tempdir().unwrap();
        drop(written(dir.path(), 100));
        damage(dir.path(), false, at);
        let error = read(dir.path(), 0).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{at}: {error}");
    }
}

#[test]
fn a_broken_header_with_records_behind_it_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    drop(written(dir.path(), 100));
    damage(dir.path(), true, 20);
    assert!(matches!(read(dir.path(), 0), Err(Error::Damaged { .. })));
}

#[test]
fn a_file_cut_short_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    drop(written(dir.path(), 3));
    File::options().write(true).open(journal_path(dir.path(), 1)).unwrap().set_len(300).unwrap();
    let error = read(dir.path(), 0).unwrap_err();
    assert!(error.to_string().contains("cut to 300 of 4096 bytes"), "{error}");
}

#[test]
fn a_broken_end_that_the_store_has_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    drop(written(dir.path(), 3));
    damage(dir.path(), true, HEADER_BYTES + 2 * record_bytes(100) + 50);
    assert!(read(dir.path(), 2).unwrap().0.cut);
    assert!(matches!(read(dir.path(), 3), Err(Error::Damaged { .. })));
}

#[test]
fn a_full_file_whose_end_is_gone_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    drop(written(dir.path(), 100));
    let path = journal_path(dir.path(), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    let last = (FILE_BYTES as usize - HEADER_BYTES) / record_bytes(100) - 1;
    bytes[HEADER_BYTES + last * record_bytes(100) + 40] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(matches!(read(dir.path(), 0), Err(Error::Damaged { .. })));
}

#[test]
fn a_message_that_looks_like_a_record_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::begin(dir.path(), Recovered::default(), FILE_BYTES).unwrap();
    let mut forged = vec![0; 8];
    forged.extend_from_slice(&RECORD_MAGIC);
    forged.extend_from_slice(&0u32.to_le_bytes());
    forged.extend_from_slice(&9u64.to_le_bytes());
    forged.extend_from_slice(&record_crc(0, 0, 9, &[]).to_le_bytes());
    forged.resize(100, 0);
    journal.append(&forged).unwrap();
    drop(journal);
    let path = journal_path(dir.path(), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[HEADER_BYTES + 17] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let recovered = recover(dir.path(), 0, &mut |_, _, _| Ok(())).unwrap();
    assert!(recovered.cut);
    assert_eq!(recovered.last_commit, 0);
}
