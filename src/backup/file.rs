//! Writes and reads the file of a backup. The format is described in [`backup`](super).

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use bytes::{BufMut, Bytes};
use sha2::{Digest, Sha256};

use crate::error::Error;
use dantok_store::record::{self, put_text};

const MAGIC: &[u8; 8] = b"DANTOKBK";
/// The format that this build writes. It reads this and all older ones.
const FORMAT: u32 = 3;
/// The first format, whose headers have no marks.
const UNMARKED: u32 = 1;
/// The most bytes of a header's fields, and of a block.
const FIELDS_MAX_BYTES: u32 = 4096;
const BLOCK_MAX_BYTES: u32 = 64 * 1024 * 1024;
/// A block's head, up to its checksum.
const BLOCK_HEAD_BYTES: usize = 13;

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;
const END: u8 = 255;

/// Identifies a backup: the SHA-256 at its end.
pub type Hash = [u8; 32];

/// A hash as it is shown to people: enough of it to tell two backups apart.
pub fn short(hash: &Hash) -> String {
    hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// What a file starts with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The store's epoch.
    pub epoch: String,
    /// The version of dantok that wrote it.
    pub dantok: String,
    /// When the cut was made, by the wall clock.
    pub time_ms: u64,
    /// The same by the kept clock.
    pub kept_ms: u64,
    /// The backup that this one builds on; `None` if it is a full one.
    pub base: Option<Hash>,
    /// The [mark](mod@dantok_store::marks) that the cut left in the store; `None` if it could not leave one, or in format 1.
    pub mark: Option<u64>,
    /// The marks that the store had before, oldest first: those of the backups that this one comes after.
    pub marks: Vec<u64>,
}

impl Header {
    /// Whether the moment of `other` was in the store's past when `self` was made. Backups of format 1 can't tell.
    pub fn is_after(&self, other: &Header) -> bool {
        match other.mark {
            Some(mark) => self.marks.contains(&mark),
            None => self.mark.is_none() && self.marks.is_empty(),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut fields = Vec::new();
        put_text(&mut fields, &self.epoch);
        put_text(&mut fields, &self.dantok);
        fields.put_u64_le(self.time_ms);
        fields.put_u64_le(self.kept_ms);
        fields.extend_from_slice(&self.base.unwrap_or_default());
        fields.put_u64_le(self.mark.unwrap_or(0));
        self.marks.iter().for_each(|mark| fields.put_u64_le(*mark));
        let mut out = MAGIC.to_vec();
        out.put_u32_le(FORMAT);
        // Two short texts and some numbers.
        out.put_u32_le(u32::try_from(fields.len()).unwrap_or(u32::MAX));
        out.extend_from_slice(&fields);
        out.put_u32_le(crc32fast::hash(&out));
        out
    }

    fn decode(format: u32, fields: &[u8]) -> Option<Header> {
        let mut reader = record::Reader(fields);
        let (epoch, dantok) = (reader.str()?.to_owned(), reader.str()?.to_owned());
        let (time_ms, kept_ms, base) = (reader.u64()?, reader.u64()?, reader.array::<32>()?);
        let base = Some(base).filter(|base| *base != Hash::default());
        let (mut mark, mut marks) = (None, Vec::new());
        if format > UNMARKED {
            mark = Some(reader.u64()?).filter(|mark| *mark != 0);
            while !reader.0.is_empty() {
                marks.push(reader.u64()?);
            }
        }
        reader.end(Header { epoch, dantok, time_ms, kept_ms, base, mark, marks })
    }
}

/// What precedes the bytes of a block, except for the checksum.
fn block_head(codec: u8, plain: u32, stored: u32, number: u32) -> [u8; BLOCK_HEAD_BYTES] {
    let mut head = [codec; BLOCK_HEAD_BYTES];
    for (place, field) in head[1..].chunks_exact_mut(4).zip([plain, stored, number]) {
        place.copy_from_slice(&field.to_le_bytes());
    }
    head
}

fn block_crc(head: &[u8], stored: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(stored);
    hasher.finalize()
}

fn too_long() -> io::Error {
    io::Error::other("a block of more than 4 GiB")
}

/// Writes a backup.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    hasher: Sha256,
    blocks: u32,
    bytes: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// As writing to `out`.
    pub fn new(out: W, header: &Header) -> io::Result<Writer<W>> {
        let mut writer = Writer { out, hasher: Sha256::new(), blocks: 0, bytes: 0 };
        writer.put(&header.encode())?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn put_block(&mut self, codec: u8, plain: usize, stored: &[u8]) -> io::Result<()> {
        let [plain, length] = [plain, stored.len()].map(u32::try_from);
        let head = block_head(codec, plain.map_err(|_| too_long())?, length.map_err(|_| too_long())?, self.blocks);
        self.put(&head)?;
        self.put(&block_crc(&head, stored).to_le_bytes())?;
        self.put(stored)
    }

    /// Appends a block of items.
    ///
    /// # Errors
    /// As writing to `out`.
    pub fn block(&mut self, items: &[u8]) -> io::Result<()> {
        match compress(items)?.filter(|compressed| compressed.len() < items.len()) {
            Some(compressed) => self.put_block(ZSTD, items.len(), &compressed)?,
            None => self.put_block(PLAIN, items.len(), items)?,
        }
        self.blocks += 1;
        Ok(())
    }

    /// Ends the backup. Returns its hash, and how many bytes it has.
    ///
    /// # Errors
    /// As writing to `out`.
    pub fn finish(mut self, messages: u64) -> io::Result<(Hash, u64, W)> {
        self.put_block(END, 0, &messages.to_le_bytes())?;
        let hash: Hash = self.hasher.finalize().into();
        self.out.write_all(&hash)?;
        self.out.flush()?;
        Ok((hash, self.bytes + hash.len() as u64, self.out))
    }
}

#[cfg(feature = "zstd")]
fn compress(bytes: &[u8]) -> io::Result<Option<Vec<u8>>> {
    zstd::bulk::compress(bytes, zstd::DEFAULT_COMPRESSION_LEVEL).map(Some)
}

#[cfg(not(feature = "zstd"))]
fn compress(_bytes: &[u8]) -> io::Result<Option<Vec<u8>>> {
    Ok(None)
}

/// Decompresses a block, or says why it can't.
#[cfg(feature = "zstd")]
fn decompress(bytes: &[u8], plain: usize) -> Result<Vec<u8>, &'static str> {
    let plain = zstd::bulk::decompress(bytes, plain).ok().filter(|bytes| bytes.len() == plain);
    plain.ok_or("can't be decompressed to its stated length")
}

#[cfg(not(feature = "zstd"))]
fn decompress(_bytes: &[u8], _plain: usize) -> Result<Vec<u8>, &'static str> {
    Err("is compressed with zstd, which this dantok was built without")
}

/// Known once a file has been read to its end and every checksum was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The hash that identifies it.
    pub hash: Hash,
    /// How many messages are in it.
    pub messages: u64,
}

/// Reads a backup and checks all of it.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    path: PathBuf,
    hasher: Sha256,
    at: u64,
    blocks: u32,
    header: Header,
    end: Option<End>,
}

impl Reader<BufReader<File>> {
    /// Opens a file and reads the header.
    ///
    /// # Errors
    /// The file can't be read, is not a backup, or is of a newer format.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io("open the backup", path))?;
        Reader::new(BufReader::with_capacity(256 * 1024, file), path)
    }
}

impl<R: Read> Reader<R> {
    /// Reads the header; errors name `path`.
    ///
    /// # Errors
    /// The input can't be read, is not a backup, or is of a newer format.
    pub fn new(input: R, path: &Path) -> Result<Reader<R>, Error> {
        let (hasher, header) = (Sha256::new(), Header::default());
        let mut reader = Reader { input, path: path.to_owned(), hasher, at: 0, blocks: 0, header, end: None };
        let mut head = reader.read_bytes(MAGIC.len() + 8)?;
        if !head.starts_with(MAGIC) {
            return Err(reader.wrong("it does not start like one"));
        }
        let mut fields = record::Reader(head.get(MAGIC.len()..).unwrap_or_default());
        let (format, length) = (fields.u32().unwrap_or(0), fields.u32().unwrap_or(u32::MAX));
        if format > FORMAT {
            let what =
                format!("its format is {format}, and this dantok reads up to {FORMAT}: use the version that wrote it");
            return Err(reader.wrong(what));
        }
        if length > FIELDS_MAX_BYTES {
            return Err(reader.wrong("its header fails its checksum"));
        }
        let rest = reader.read_bytes(length as usize + 4)?;
        let (fields, crc) = rest.split_at_checked(length as usize).unwrap_or_default();
        head.extend_from_slice(fields);
        let header = Header::decode(format, fields).filter(|_| crc == crc32fast::hash(&head).to_le_bytes());
        reader.header = header.ok_or_else(|| reader.wrong("its header fails its checksum"))?;
        Ok(reader)
    }

    fn wrong(&self, what: impl Into<String>) -> Error {
        Error::Backup { path: self.path.clone(), what: what.into() }
    }

    fn read_bytes(&mut self, bytes: usize) -> Result<Vec<u8>, Error> {
        let taken = self.take_unhashed(bytes)?;
        self.hasher.update(&taken);
        Ok(taken)
    }

    fn take_unhashed(&mut self, bytes: usize) -> Result<Vec<u8>, Error> {
        let mut taken = vec![0; bytes];
        match self.input.read_exact(&mut taken) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(self.wrong(format!("it is cut short, somewhere after byte {}", self.at)));
            }
            Err(error) => return Err(Error::io("read the backup", &self.path)(error)),
        }
        self.at += bytes as u64;
        Ok(taken)
    }

    /// The file, as errors name it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How many bytes have been read.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The next block of items; `None` at the end.
    ///
    /// # Errors
    /// The input can't be read, is cut short, or is not what was written.
    pub fn block(&mut self) -> Result<Option<Bytes>, Error> {
        if self.end.is_some() {
            return Ok(None);
        }
        let begins = self.at;
        let damaged = |reader: &Self| reader.wrong(format!("the block at byte {begins} fails its checksum"));
        let head = self.read_bytes(BLOCK_HEAD_BYTES + 4)?;
        let (head, crc) = head.split_at_checked(BLOCK_HEAD_BYTES).unwrap_or_default();
        let mut fields = record::Reader(head);
        let (codec, plain) = (fields.u8().unwrap_or(END), fields.u32().unwrap_or(0));
        let (stored, number) = (fields.u32().unwrap_or(0), fields.u32().unwrap_or(0));
        if stored > BLOCK_MAX_BYTES || plain > BLOCK_MAX_BYTES {
            return Err(damaged(self));
        }
        let stored = self.read_bytes(stored as usize)?;
        if crc != block_crc(head, &stored).to_le_bytes() {
            return Err(damaged(self));
        }
        if number != self.blocks {
            return Err(self.wrong(format!("the block at byte {begins} is number {number}, not {}", self.blocks)));
        }
        self.blocks += 1;
        match codec {
            PLAIN if stored.len() == plain as usize => Ok(Some(stored.into())),
            ZSTD => match decompress(&stored, plain as usize) {
                Ok(plain) => Ok(Some(plain.into())),
                Err(what) => Err(self.wrong(format!("the block at byte {begins} {what}"))),
            },
            END => self.finish(&stored).map(|()| None),
            _ => Err(self.wrong(format!("the block at byte {begins} is of a kind that this dantok does not know"))),
        }
    }

    fn finish(&mut self, messages: &[u8]) -> Result<(), Error> {
        let hash: Hash = std::mem::take(&mut self.hasher).finalize().into();
        if self.take_unhashed(hash.len())? != hash {
            return Err(self.wrong("the SHA-256 at its end does not match"));
        }
        let mut more = [0];
        if self.input.read(&mut more).map_err(Error::io("read the backup", &self.path))? > 0 {
            return Err(self.wrong("there are more bytes after its end"));
        }
        let messages = messages.first_chunk().map_or(0, |messages| u64::from_le_bytes(*messages));
        self.end = Some(End { hash, messages });
        Ok(())
    }

    /// What was learned at the end; `None` before it is reached.
    pub fn end(&self) -> Option<End> {
        self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> (Header, Vec<u8>, Hash) {
        let header = Header {
            epoch: "0123456789abcdef".to_owned(),
            dantok: "0.1.0".to_owned(),
            time_ms: 1,
            kept_ms: 2,
            base: Some([7; 32]),
            mark: Some(5),
            marks: vec![3, 4],
        };
        let mut writer = Writer::new(Vec::new(), &header).unwrap();
        writer.block(&[1; 1000]).unwrap();
        writer.block(b"short").unwrap();
        let (hash, length, bytes) = writer.finish(3).unwrap();
        assert_eq!(length, bytes.len() as u64);
        (header, bytes, hash)
    }

    fn read(bytes: &[u8]) -> Result<(Header, Vec<Bytes>, End), Error> {
        let mut reader = Reader::new(bytes, Path::new("x.backup"))?;
        let mut blocks = Vec::new();
        while let Some(block) = reader.block()? {
            blocks.push(block);
        }
        Ok((reader.header().clone(), blocks, reader.end().unwrap()))
    }

    #[test]
    fn what_is_written_is_read() {
        let (header, bytes, hash) = written();
        let (found, blocks, end) = read(&bytes).unwrap();
        assert_eq!((found, end), (header, End { hash, messages: 3 }));
        assert_eq!(blocks, [Bytes::from(vec![1; 1000]), Bytes::from_static(b"short")]);
    }

    #[test]
    fn no_flipped_bit_no_cut_and_no_addition_goes_unnoticed() {
        let (_, bytes, _) = written();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = read(&flipped).unwrap_err().to_string();
            assert!(error.starts_with("x.backup: not a valid backup: "), "{error}");
        }
        for short in 0..bytes.len() {
            let error = read(&bytes[..short]).unwrap_err().to_string();
            assert!(error.contains("cut short"), "{error}");
        }
        let error = read(&[&bytes[..], b"x"].concat()).unwrap_err().to_string();
        assert!(error.contains("more bytes after its end"), "{error}");
    }
}
