//! Input that waits to be imported, in a temporary file without a name.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};

use crate::error::Error;

/// Batches of lines, written and then read once in the same order.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    dir: PathBuf,
}

impl Spool {
    /// Creates it in the directory for temporary files, readable only by this user.
    pub(super) fn create() -> Result<Spool, Error> {
        let dir = std::env::temp_dir();
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&dir, flags, Mode::RUSR | Mode::WUSR);
        let failed = Error::io("create a temporary file for the import in", &dir);
        let file = opened.map_err(|errno| failed(io::Error::from(errno)))?;
        Ok(Spool { file: File::from(file), dir })
    }

    /// Adds a batch, with the number of its first line.
    pub(super) fn push(&mut self, first: u64, batch: &[u8]) -> Result<(), Error> {
        let head = [first.to_le_bytes(), (batch.len() as u64).to_le_bytes()].concat();
        let written = self.file.write_all(&head).and_then(|()| self.file.write_all(batch));
        written.map_err(Error::io("write the import's temporary file in", &self.dir))
    }

    /// Returns to the first batch, to read them all.
    pub(super) fn read(mut self) -> Result<Batches, Error> {
        let rewound = self.file.seek(SeekFrom::Start(0));
        rewound.map_err(Error::io("read the import's temporary file in", &self.dir))?;
        Ok(Batches { input: BufReader::new(self.file), dir: self.dir })
    }
}

/// The batches of a [`Spool`], being read.
#[derive(Debug)]
pub(super) struct Batches {
    input: BufReader<File>,
    dir: PathBuf,
}

impl Batches {
    /// The number of the next batch's first line, and the batch; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Vec<u8>)>, Error> {
        self.try_next().map_err(Error::io("read the import's temporary file in", &self.dir))
    }

    fn try_next(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        let (mut first, mut length) = ([0; 8], [0; 8]);
        match self.input.read_exact(&mut first) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        self.input.read_exact(&mut length)?;
        let mut batch = Vec::new();
        (&mut self.input).take(u64::from_le_bytes(length)).read_to_end(&mut batch)?;
        Ok(Some((u64::from_le_bytes(first), batch)))
    }
}
