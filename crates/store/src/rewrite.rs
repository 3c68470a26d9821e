//! Writing files again as they are read, so that what may be in memory alone is on the disk: see [`note`](mod@crate::note).

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::Error;
use crate::files::sync_dir;

/// The size of a map of blocks: a bit for each block of a file, beginning again at the first bit if there are more.
pub(crate) const MAP_BYTES: usize = 16 * 1024;
pub(crate) const BLOCKS: u64 = MAP_BYTES as u64 * 8;
pub(crate) const BLOCK_BYTES: u64 = 64 * 1024;
const BLOCKS_AT_ONCE: u64 = 16;

/// Blocks of a file, a bit each.
#[derive(Clone, Debug)]
pub(crate) struct Blocks(pub(crate) Vec<u8>);

impl Blocks {
    pub(crate) fn none() -> Blocks {
        Blocks(vec![0; MAP_BYTES])
    }

    pub(crate) fn all() -> Blocks {
        Blocks(vec![u8::MAX; MAP_BYTES])
    }

    /// The byte and bit of a block.
    pub(crate) fn spot(block: u64) -> (usize, u8) {
        let bit = block % BLOCKS;
        (usize::try_from(bit / 8).unwrap_or_default(), 1 << (bit % 8))
    }

    pub(crate) fn has(&self, block: u64) -> bool {
        let (at, bit) = Blocks::spot(block);
        self.0.get(at).is_some_and(|byte| byte & bit != 0)
    }

    pub(crate) fn add(&mut self, block: u64) {
        let (at, bit) = Blocks::spot(block);
        self.0.iter_mut().skip(at).take(1).for_each(|byte| *byte |= bit);
    }

    pub(crate) fn add_all(&mut self, other: &Blocks) {
        self.0.iter_mut().zip(&other.0).for_each(|(byte, more)| *byte |= more);
    }
}

/// The parts of a file to write again.
#[derive(Debug)]
pub(crate) enum Parts<'a> {
    /// All of it.
    All,
    /// What is not zero: the zeros were synced before anything else was written.
    NotZero,
    /// These blocks.
    Blocks(&'a Blocks),
}

impl Parts<'_> {
    fn has(&self, block: u64) -> bool {
        if let Parts::Blocks(blocks) = self { blocks.has(block) } else { true }
    }
}

pub(crate) fn write_dir_again<'a>(dir: &Path, parts: &impl Fn(&Path) -> Parts<'a>) -> Result<u64, Error> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).map_err(Error::io("list the directory", dir))? {
        let path = entry.map_err(Error::io("list the directory", dir))?.path();
        bytes += if path.is_dir() { write_dir_again(&path, parts)? } else { write_again(&path, &parts(&path))? };
    }
    sync_dir(dir)?;
    Ok(bytes)
}

/// Writes a file again, as it is read, and syncs it. Returns how many bytes were written. If this is interrupted, it can be
/// repeated: every byte on the disk is as it was, or as it is read.
pub(crate) fn write_again(path: &Path, parts: &Parts<'_>) -> Result<u64, Error> {
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(Error::io("open", path))?;
    let length = file.metadata().map_err(Error::io("measure", path))?.len();
    let mut piece = vec![0; usize::try_from(BLOCK_BYTES * BLOCKS_AT_ONCE).unwrap_or_default()];
    let blocks = length.div_ceil(BLOCK_BYTES);
    let (mut block, mut written) = (0, 0);
    while block < blocks {
        let run = (block..blocks).take_while(|block| parts.has(*block)).take(BLOCKS_AT_ONCE as usize).count() as u64;
        let at = block * BLOCK_BYTES;
        let bytes = (run * BLOCK_BYTES).min(length - at);
        block += run.max(1);
        let piece = piece.get_mut(..usize::try_from(bytes).unwrap_or_default()).unwrap_or_default();
        file.read_exact_at(piece, at).map_err(Error::io("read", path))?;
        if matches!(parts, Parts::NotZero) && piece.iter().all(|byte| *byte == 0) {
            continue;
        }
        file.write_all_at(piece, at).map_err(Error::io("write again", path))?;
        written += bytes;
    }
    // The size as well.
    let synced = file.set_len(length).and_then(|()| file.sync_all());
    synced.map_err(Error::io("sync", path))?;
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_again_is_what_was_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        // Of several runs of blocks, the last of which is not whole.
        let length = BLOCK_BYTES * (BLOCKS_AT_ONCE * 2 + 3) + 100;
        let bytes: Vec<u8> = (0..length).map(|at| if at / BLOCK_BYTES % 20 < 17 { 0 } else { at as u8 | 1 }).collect();
        std::fs::write(&path, &bytes).unwrap();
        let mut some = Blocks::none();
        [0, 5, 34, 35].into_iter().for_each(|block| some.add(block));
        let again = |parts: Parts<'_>| {
            let written = write_again(&path, &parts).unwrap();
            assert!(std::fs::read(&path).unwrap() == bytes);
            written
        };
        assert_eq!(again(Parts::All), length);
        assert_eq!(again(Parts::Blocks(&some)), 3 * BLOCK_BYTES + 100);
        assert_eq!(again(Parts::Blocks(&Blocks::none())), 0);
        assert_eq!(again(Parts::NotZero), BLOCK_BYTES * BLOCKS_AT_ONCE);
    }
}
