//! Bytes that nobody can guess (random(4)).

use std::fs::File;
use std::io::{self, Read};

/// So many of them.
///
/// # Errors
/// Where the device is not there, or cannot be read.
pub(crate) fn bytes<const COUNT: usize>() -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
