//! What a served plane reads from and writes to.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

/// Both directions of a connection.
pub struct Transport {
    pub(crate) reader: Box<dyn Read + Send>,
    pub(crate) writer: Box<dyn Write + Send>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").finish_non_exhaustive()
    }
}

impl Transport {
    /// Any reader and writer.
    pub fn new(reader: impl Read + Send + 'static, writer: impl Write + Send + 'static) -> Self {
        Self { reader: Box::new(reader), writer: Box::new(writer) }
    }

    /// Standard input and output, unbuffered. Nothing else may print on standard output.
    ///
    /// # Errors
    /// Where the kernel gives no descriptors.
    pub fn stdio() -> io::Result<Self> {
        let reader = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let writer = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self::new(reader, writer))
    }

    /// A Unix socket that was accepted, or one end of a pair.
    ///
    /// # Errors
    /// Where the kernel gives no descriptor.
    pub fn socket(stream: UnixStream) -> io::Result<Self> {
        Ok(Self::new(stream.try_clone()?, stream))
    }
}
