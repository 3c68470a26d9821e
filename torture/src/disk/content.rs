//! The contents of a simulated file.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

const PAGE: usize = 16 * 1024;
static ZEROS: [u8; PAGE] = [0; PAGE];

/// Whether these bytes are all zero. It compares whole pages first: most of what is written to a disk is zeros, and a
/// debug build checks single bytes a hundred times more slowly.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(PAGE).all(|piece| *piece == ZEROS[..piece.len()])
}

/// Bytes in copy-on-write pages, so that a copy of a whole disk costs next to nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    len: usize,
    /// `None` stands for zeros.
    pages: Vec<Option<Arc<Vec<u8>>>>,
}

impl Content {
    /// The identity of its pages. Two contents that exist at the same time and have the same pages are equal.
    pub(super) fn mark(&self, hasher: &mut impl Hasher) {
        self.len.hash(hasher);
        for page in &self.pages {
            page.as_ref().map(Arc::as_ptr).hash(hasher);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Reads these bytes, as far as they exist.
    pub(super) fn read(&self, at: usize, bytes: usize) -> Vec<u8> {
        let end = at.saturating_add(bytes).min(self.len);
        let mut out = Vec::with_capacity(end.saturating_sub(at));
        let mut at = at;
        while at < end {
            let (page, within) = (at / PAGE, at % PAGE);
            let most = (PAGE - within).min(end - at);
            match &self.pages[page] {
                Some(page) => out.extend_from_slice(&page[within..within + most]),
                None => out.extend_from_slice(&ZEROS[..most]),
            }
            at += most;
        }
        out
    }

    /// Writes, growing the file if needed.
    pub(super) fn put(&mut self, at: usize, bytes: &[u8]) {
        if self.len < at + bytes.len() {
            self.resize(at + bytes.len());
        }
        let (mut at, mut rest) = (at, bytes);
        while !rest.is_empty() {
            let (page, within) = (at / PAGE, at % PAGE);
            let (now, later) = rest.split_at((PAGE - within).min(rest.len()));
            let place = &mut self.pages[page];
            if place.is_some() || !is_zero(now) {
                let page = Arc::make_mut(place.get_or_insert_with(|| Arc::new(vec![0; PAGE])));
                page[within..within + now.len()].copy_from_slice(now);
            }
            at += now.len();
            rest = later;
        }
    }

    /// Truncates it, or extends it with zeros.
    pub(super) fn resize(&mut self, len: usize) {
        if len < self.len
            && !len.is_multiple_of(PAGE)
            && let Some(Some(page)) = self.pages.get_mut(len / PAGE)
        {
            Arc::make_mut(page)[len % PAGE..].fill(0);
        }
        self.pages.resize(len.div_ceil(PAGE), None);
        self.len = len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_plain_bytes_are() {
        let mut random = fastrand::Rng::with_seed(1);
        let (mut content, mut plain) = (Content::default(), Vec::new());
        let mut copies = Vec::new();
        for _ in 0..500 {
            let (at, bytes) = (random.usize(..100_000), random.usize(..40_000));
            if random.u8(..4) == 0 {
                content.resize(at);
                plain.resize(at, 0);
            } else {
                let written = vec![random.u8(..3); bytes];
                content.put(at, &written);
                plain.resize(plain.len().max(at + bytes), 0);
                plain[at..at + bytes].copy_from_slice(&written);
            }
            let (at, bytes) = (random.usize(..150_000), random.usize(..150_000));
            let end = (at + bytes).min(plain.len());
            assert_eq!(content.read(at, bytes), plain.get(at..end).unwrap_or_default());
            copies.push((content.clone(), plain.clone()));
        }
        for (content, plain) in copies {
            assert_eq!((content.len(), content.read(0, usize::MAX)), (plain.len(), plain));
        }
    }
}
