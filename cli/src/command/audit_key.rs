//! `cofferdam audit key`.

use crate::failure::Failure;
use clap::Args;
use cofferdam_plane_kit::host::HostSigner;
use std::path::PathBuf;

/// Prints the public key of a key file, which is made where it is not there.
///
/// Whoever can read the file can sign. It protects the log from others: keep it, or the log's writers, under another user.
#[derive(Debug, Args)]
pub(crate) struct Key {
    /// The file, which only its owner may read.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Key {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let there = self.file.symlink_metadata().is_ok();
        let signer = if there { HostSigner::load(&self.file)? } else { HostSigner::create(&self.file)? };
        super::print(&format!("{}\n", signer.public_text()))?;
        Ok(0)
    }
}
