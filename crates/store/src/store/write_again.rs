//! Writing again what the previous run may have left in memory alone, before anything is read.

use std::path::Path;
use std::time::Instant;

use crate::error::Error;
use crate::files::{FileId, sync_dir};
use crate::note::Left;
use crate::rewrite::{Parts, write_again, write_dir_again};
use crate::segments::Segments;
use crate::{epoch, migrate};

/// Writes again what the previous run may have left in memory alone, except the journal.
pub(super) fn make_good(dir: &Path, left: &Left) -> Result<(), Error> {
    let began = Instant::now();
    let [journal, segments, sled] = ["journal", "segments", "sled"].map(|name| dir.join(name));
    let mut bytes = 0;
    match left {
        Left::Clean => return Ok(()),
        Left::Failed => {
            let kept = migrate::all_kept(dir);
            for part in [&journal, &segments, &sled].into_iter().chain(&kept).filter(|part| part.exists()) {
                tracing::warn!(path = %part.display(), "a write or a sync had failed: writing everything again");
                bytes += write_dir_again(part, &|_| Parts::All)?;
            }
        }
        Left::Unclean { erasing, written } => {
            if sled.exists() {
                let db = sled.join("db");
                let parts = |path: &Path| if path == db { Parts::Blocks(written) } else { Parts::All };
                bytes += write_dir_again(&sled, &parts)?;
            }
            let files = Segments::of(dir);
            let newest = files.numbers()?.last().copied().map(FileId::Segment);
            for file in newest.into_iter().chain(*erasing).map(|file| files.path(file)).filter(|path| path.exists()) {
                bytes += write_again(&file, &Parts::All)?;
            }
        }
    }
    migrate::write_again(dir)?;
    epoch::write_again(dir)?;
    [journal.as_path(), &segments, dir].into_iter().filter(|dir| dir.exists()).try_for_each(sync_dir)?;
    if bytes > 0 {
        let ms = began.elapsed().as_millis();
        tracing::info!(path = %dir.display(), bytes, ms, "the store was not closed: wrote again what may not have been on the disk");
    }
    Ok(())
}
