//! The disk and the file system: what they are, and whether a sync reaches the disk.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Finding, Level};
use crate::error::Error;
use dantok_store::clock::Reading;
use dantok_store::disk::free_bytes;
use dantok_store::limits::{BALLAST_BYTES, FREE_SPACE_MIN_BYTES, JOURNAL_FILE_BYTES};
use dantok_store::segments::Segments;
use dantok_store::tables::Tables;

/// How many syncs to measure, and for how long at most.
const SYNCS: usize = 500;
const SYNCS_TIME: Duration = Duration::from_secs(3);
/// Bytes that each of them has to write to the disk.
const WRITE_BYTES: usize = 4096;
/// A sync that reaches any device takes longer: the fastest, with caches that survive a power cut, take 10 µs or more.
const TOO_FAST: Duration = Duration::from_micros(8);
/// Only a device with such a cache is faster than this, and a virtual disk may only pretend to have one.
const FAST: Duration = Duration::from_micros(40);

/// File systems that exist only in memory.
const IN_MEMORY: [&str; 3] = ["tmpfs", "ramfs", "devtmpfs"];
/// File systems whose syncs depend on something that can't be examined from here.
const ELSEWHERE: [&str; 9] = ["nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "ceph", "overlay", "glusterfs"];
/// Mount options that make a sync meaningless.
const HOLLOW: [&str; 4] = ["nobarrier", "barrier=0", "volatile", "fsync=volatile"];

/// A line of `/proc/self/mountinfo`.
struct MountLine {
    at: PathBuf,
    kind: String,
    source: String,
    options: String,
}

fn mount_of(dir: &Path) -> Option<MountLine> {
    let all = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let lines = all.lines().filter_map(parse_mount);
    // Of two mounted over each other, the later is in effect.
    lines.filter(|mount| dir.starts_with(&mount.at)).max_by_key(|mount| mount.at.components().count())
}

/// `36 35 98:0 /root /mount/point options … - type source superblock-options`.
fn parse_mount(line: &str) -> Option<MountLine> {
    let (first, second) = line.split_once(" - ")?;
    let first: Vec<&str> = first.split(' ').collect();
    let second: Vec<&str> = second.split(' ').collect();
    Some(MountLine {
        at: PathBuf::from(first.get(4)?.replace("\\040", " ")),
        kind: (*second.first()?).to_owned(),
        source: (*second.get(1)?).to_owned(),
        options: format!("{},{}", first.get(5)?, second.get(2)?),
    })
}

/// Which file system the data is on.
pub fn place(dir: &Path) -> Vec<Finding> {
    let Some(mount) = mount_of(dir) else {
        return vec![Finding::new("file system", Level::Warning, format!("{}: unknown", dir.display()))];
    };
    let MountLine { at, kind, source, options } = mount;
    let text = format!("{}: {kind} on {source}, mounted at {}", dir.display(), at.display());
    let mut findings = vec![if IN_MEMORY.contains(&kind.as_str()) {
        Finding::new(
            "file system",
            Level::Bad,
            format!("{text}: nothing here survives a reboot of the machine; choose another --data-dir"),
        )
    } else if ELSEWHERE.contains(&kind.as_str()) || kind.starts_with("fuse") {
        let why = "whether a sync reaches a disk is decided elsewhere and can't be determined from here";
        Finding::new("file system", Level::Warning, format!("{text}: {why}"))
    } else {
        Finding::new("file system", Level::Fine, text)
    }];
    for option in options.split(',').filter(|option| HOLLOW.contains(option)) {
        let text = format!("{option}: a sync does not reach the disk; mount {} without it", at.display());
        findings.push(Finding::new("mount option", Level::Bad, text));
    }
    findings
}

/// Whether there is enough free space.
pub fn space(dir: &Path) -> Finding {
    // Two journal files, the ballast, and sled's first segments.
    let needed = FREE_SPACE_MIN_BYTES + BALLAST_BYTES + 3 * JOURNAL_FILE_BYTES;
    match free_bytes(dir) {
        Ok(free) if free < needed => {
            let text = format!("{} free, {} needed to start: free some space", mib(free), mib(needed));
            Finding::new("space", Level::Bad, text)
        }
        Ok(free) => Finding::new("space", Level::Fine, format!("{} free, {} needed to start", mib(free), mib(needed))),
        Err(error) => Finding::new("space", Level::Warning, format!("can't determine the free space: {error}")),
    }
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes / 1024 / 1024)
}

/// Whether a file lock keeps a second daemon out.
pub fn lock(probe: &Path) -> Finding {
    let path = probe.join("lock");
    let both = File::create(&path).and_then(|first| Ok((first, File::open(&path)?)));
    let works = both.is_ok_and(|(first, second)| first.try_lock().is_ok() && second.try_lock().is_err());
    if works {
        Finding::new("lock", Level::Fine, "a second daemon is kept out")
    } else {
        let text =
            "flock does not work here: two daemons could take the same data directory; choose another file system";
        Finding::new("lock", Level::Bad, text)
    }
}

/// How long a sync takes, and whether that is plausible.
pub fn sync(probe: &Path) -> Result<Finding, Error> {
    let path = probe.join("sync");
    let failed = |what| Error::io(what, &path);
    let mut taken = Vec::with_capacity(SYNCS);
    let measured: Result<(), Error> = (|| {
        let file = File::create(&path).map_err(failed("create"))?;
        for place in 0..SYNCS as u64 {
            file.write_all_at(&[0; WRITE_BYTES], place * WRITE_BYTES as u64).map_err(failed("write"))?;
        }
        file.sync_all().map_err(failed("sync"))?;
        let start = Instant::now();
        for place in 0..SYNCS as u64 {
            file.write_all_at(&[1; WRITE_BYTES], place * WRITE_BYTES as u64).map_err(failed("write"))?;
            let before = Instant::now();
            file.sync_data().map_err(failed("sync"))?;
            taken.push(before.elapsed());
            if start.elapsed() > SYNCS_TIME {
                break;
            }
        }
        Ok(())
    })();
    measured?;
    taken.sort_unstable();
    let at = |part: f64| taken.get((taken.len() as f64 * part) as usize).copied().unwrap_or_default();
    let (median, slow, most) = (at(0.5), at(0.99), taken.last().copied().unwrap_or_default());
    let each = 1.0 / median.as_secs_f64().max(1e-9);
    let text = format!(
        "fdatasync of {WRITE_BYTES} bytes: median {median:.1?}, 99 in 100 within {slow:.1?}, slowest {most:.1?} of {}: about {each:.0} commits per second, each of any number of messages",
        taken.len(),
    );
    Ok(judge_sync(median, &text))
}

fn judge_sync(median: Duration, text: &str) -> Finding {
    if median < TOO_FAST {
        let why = "too fast to be true: no disk is this fast. It is memory, or something between here and the disk drops flushes";
        Finding::new("sync", Level::Bad, format!("{text}; {why}"))
    } else if median < FAST {
        let why = "only a drive whose cache survives a power cut is this fast; a virtual disk may ignore flushes: ask whoever runs it";
        Finding::new("sync", Level::Warning, format!("{text}; {why}"))
    } else {
        Finding::new("sync", Level::Fine, text)
    }
}

/// Whether the store opens here, and syncs as it must.
pub fn store(probe: &Path) -> Result<Finding, Error> {
    let dir = probe.join("sled");
    std::fs::create_dir(&dir).map_err(Error::io("create", &dir))?;
    let before = Instant::now();
    for _ in 0..2 {
        Tables::open(&dir, Segments::of(&dir))?.checkpoint(0, &Reading::default())?;
    }
    let took = before.elapsed();
    Ok(if !dantok_store::syscalls::are_ours() {
        Finding::new("store", Level::Bad, dantok_store::Error::NotInterposed.to_string())
    } else {
        Finding::new("store", Level::Fine, format!("created, written, synced and reopened in {took:.1?}"))
    })
}

/// What the kernel knows about the drive's cache.
pub fn write_cache(dir: &Path) -> Option<Finding> {
    let device = std::fs::metadata(dir).ok()?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let base = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
    // A partition has the queue of its disk.
    let read = |queue: &str, name: &str| std::fs::read_to_string(base.join(queue).join(name)).ok();
    let queue = ["queue", "../queue"].into_iter().find(|queue| base.join(queue).is_dir())?;
    let cache = read(queue, "write_cache")?;
    let spins = read(queue, "rotational").is_some_and(|rotational| rotational.trim() == "1");
    let kind = if spins { "rotating disk" } else { "solid-state drive" };
    let text = match cache.trim() {
        "write through" => {
            format!("{kind}, write through: it reports that it has no cache to lose, so the kernel sends it no flushes")
        }
        cache => format!("{kind}, {cache}: each sync flushes it"),
    };
    Some(Finding::new("drive", Level::Fine, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_read() {
        let line = "36 35 98:0 /a /mnt/my\\040disk rw,noatime master:1 - ext4 /dev/sda1 rw,barrier=0";
        let mount = parse_mount(line).unwrap();
        assert_eq!((mount.at, mount.kind.as_str()), (PathBuf::from("/mnt/my disk"), "ext4"));
        assert!(mount.options.split(',').any(|option| HOLLOW.contains(&option)));
    }

    #[test]
    fn a_sync_is_believed_when_it_takes_its_time() {
        let level = |micros| judge_sync(Duration::from_micros(micros), "").level;
        assert_eq!([level(1), level(20), level(100)], [Level::Bad, Level::Warning, Level::Fine]);
    }
}
