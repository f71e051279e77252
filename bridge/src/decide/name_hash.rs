//! A table by names of files, with a hash that is quick for short ones.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Values by name. The names in it are the policy's; what a guest looks up is compared and never stored, so it can make no chain longer.
pub(super) type NameMap<T> = HashMap<Box<str>, T, BuildHasherDefault<NameHasher>>;

/// Eight bytes at a time: a product whose halves are folded together, as wyhash does.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NameHasher(u64);

/// An odd number without a pattern: the fraction of the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl NameHasher {
    fn add(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(FACTOR);
        self.0 = (product as u64) ^ ((product >> 64) as u64) ^ FACTOR;
    }
}

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.add(u64::from_le_bytes(last) ^ (bytes.len() as u64) << 56);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_little_lie_apart() {
        let hash = |text: &str| {
            let mut hasher = NameHasher::default();
            hasher.write(text.as_bytes());
            hasher.finish()
        };
        let all: std::collections::HashSet<u64> = (0..100_000).map(|number| hash(&format!("name-{number}"))).collect();
        assert_eq!(all.len(), 100_000);
        let low: std::collections::HashSet<u64> = (0..4096).map(|number| hash(&format!("f{number}")) % 4096).collect();
        // As many as of numbers drawn by lot: 1 - 1/e of the places.
        assert!((2400..2800).contains(&low.len()), "{}", low.len());
    }
}
