//! The last part of an output stream: bounded, whatever is written.

use std::collections::VecDeque;

/// Bytes that are kept of a stream: 64 KiB.
pub(super) const KEPT: usize = 64 * 1024;

/// The last bytes of a stream, each with its place in the whole.
#[derive(Debug, Default)]
pub(super) struct Ring {
    bytes: VecDeque<u8>,
    end: u64,
}

/// A part of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// How many bytes before it are no longer there.
    pub(super) lost: u64,
    /// The bytes.
    pub(super) bytes: Vec<u8>,
    /// The place of the byte that comes after them.
    pub(super) end: u64,
}

impl Ring {
    /// Adds what was written.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let kept = bytes.get(bytes.len().saturating_sub(KEPT)..).unwrap_or_default();
        let surplus = (self.bytes.len() + kept.len()).saturating_sub(KEPT);
        drop(self.bytes.drain(..surplus.min(self.bytes.len())));
        self.bytes.extend(kept);
        self.end = self.end.saturating_add(bytes.len() as u64);
    }

    /// Forgets what was written, but not how much.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// All that is kept.
    pub(super) fn tail(&self) -> Vec<u8> {
        self.bytes.iter().copied().collect()
    }

    /// The place of the first byte that is kept.
    pub(super) fn first(&self) -> u64 {
        self.end.saturating_sub(self.bytes.len() as u64)
    }

    /// What came from the place `from` on, as far as it is kept; nothing when nothing came.
    pub(super) fn since(&self, from: u64) -> Option<Part> {
        if from >= self.end {
            return None;
        }
        let first = self.first();
        let skipped = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        let bytes = self.bytes.iter().skip(skipped).copied().collect();
        Some(Part { lost: first.saturating_sub(from), bytes, end: self.end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c7_the_last_64_kib_are_kept_and_no_more() {
        let mut ring = Ring::default();
        ring.push(&vec![b'a'; KEPT]);
        ring.push(b"bc");
        assert_eq!(ring.tail().len(), KEPT);
        assert!(ring.tail().ends_with(b"abc"));
        ring.push(&vec![b'd'; 3 * KEPT]);
        assert_eq!(ring.tail(), vec![b'd'; KEPT]);
        assert_eq!(ring.end, 4 * KEPT as u64 + 2);
    }

    #[test]
    fn a_reader_is_told_what_it_missed() {
        let mut ring = Ring::default();
        ring.push(b"one");
        assert_eq!(ring.since(1), Some(Part { lost: 0, bytes: b"ne".to_vec(), end: 3 }));
        assert_eq!(ring.since(3), None);
        ring.push(&vec![b'x'; KEPT]);
        let part = ring.since(1).unwrap();
        assert_eq!((part.lost, part.bytes.len()), (2, KEPT));
        ring.clear();
        assert_eq!(ring.since(0).map(|part| part.bytes.len()), Some(0), "what was cleared is lost");
    }
}
