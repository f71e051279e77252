//! Files of /proc that tell of a process, as text.
//!
//! A process chooses its own name (prctl(2), `PR_SET_NAME`; the file that it executes), which may be any bytes, and stands in some of them
//! (proc_pid_stat(5), proc_pid_status(5)). One whose name is no text must not be taken for one that is not there: it would be out of
//! sight of every limit.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Most of these files are shorter, and none is long; their lengths are not told beforehand.
const USUAL: usize = 4096;

/// What `file` tells, with a replacement character for each byte that is no text.
///
/// # Errors
/// It is not there, or may not be read.
pub fn read(file: impl AsRef<Path>) -> io::Result<String> {
    let mut bytes = Vec::with_capacity(USUAL);
    // As a stream, so that nothing is asked about the length: what there is comes in a read.
    File::open(file)?.take(u64::MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}
