//! Frames of the control socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest frame: the rooms of an incremental backup, as JSON.
const FRAME_MAX_BYTES: usize = 64 * 1024 * 1024;

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its kind, a letter.
    pub kind: u8,
    /// Its contents.
    pub bytes: Vec<u8>,
}

impl Frame {
    /// Decodes its contents as JSON.
    ///
    /// # Errors
    /// They are something else.
    pub fn json<T: DeserializeOwned>(&self) -> io::Result<T> {
        serde_json::from_slice(&self.bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

/// One side of a connection. Blocks.
#[derive(Debug)]
pub struct Wire(UnixStream);

impl Wire {
    /// Uses a stream in blocking mode.
    pub fn over(stream: UnixStream) -> Wire {
        Wire(stream)
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// I/O errors.
    pub fn send(&mut self, kind: u8, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(|_| io::Error::other("a frame of more than 4 GiB"))?;
        let mut head = [kind; 5];
        head[1..].copy_from_slice(&length.to_le_bytes());
        self.0.write_all(&head)?;
        self.0.write_all(bytes)
    }

    /// Sends a frame of JSON.
    ///
    /// # Errors
    /// I/O errors.
    pub fn send_json<T: Serialize>(&mut self, kind: u8, value: &T) -> io::Result<()> {
        self.send(kind, &serde_json::to_vec(value)?)
    }

    /// Closes the connection, in both directions.
    pub fn close(&self) {
        // A broken connection is closed already.
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }

    /// The next frame; none at the end of the connection.
    ///
    /// # Errors
    /// I/O errors; the connection ends inside a frame; the frame is too long.
    pub fn receive(&mut self) -> io::Result<Option<Frame>> {
        let mut head = [0; 5];
        if self.0.read(&mut head[..1])? == 0 {
            return Ok(None);
        }
        self.0.read_exact(&mut head[1..])?;
        let [kind, length @ ..] = head;
        let length = u32::from_le_bytes(length) as usize;
        if length > FRAME_MAX_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame that is too long"));
        }
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes)?;
        Ok(Some(Frame { kind, bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_and_what_is_cut_off_does_not() {
        let (one, other) = UnixStream::pair().unwrap();
        let (mut one, mut other) = (Wire::over(one), Wire::over(other));
        one.send(b'D', b"some").unwrap();
        one.send_json(b'Z', &7).unwrap();
        assert_eq!(other.receive().unwrap(), Some(Frame { kind: b'D', bytes: b"some".to_vec() }));
        assert_eq!(other.receive().unwrap().unwrap().json::<u64>().unwrap(), 7);
        one.0.write_all(&[b'D', 9, 0, 0, 0, 1]).unwrap();
        drop(one);
        assert_eq!(other.receive().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(other.receive().unwrap(), None);
    }
}
