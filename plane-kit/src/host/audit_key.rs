//! An Ed25519 key in a file, to sign the audit log with.

use super::audit_directory::refusal;
use cofferdam_bridge::audit::AuditSigner;
use cofferdam_bridge::error::BridgeError;
use ed25519_dalek::{Signer, SigningKey};
use std::fmt;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Signs with a key from a file: 64 hexadecimal digits, which are the seed of RFC 8032. Whoever can read it can sign, so it protects the log
/// only from those who cannot: keep it where the log's writers run as another user than those whom the log is about.
pub struct HostSigner(SigningKey);

/// The key stays out of logs.
impl fmt::Debug for HostSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostSigner(…)")
    }
}

impl HostSigner {
    /// The key in `path`, which nobody but its owner may read.
    ///
    /// # Errors
    /// `audit_unavailable` where there is none, or others can read it.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, BridgeError> {
        let path = path.as_ref();
        let failed = |why: &str| refusal(format!("the key `{}` {why}", path.display()));
        let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
        let file = opened.map_err(|error| failed(&format!("cannot be read: {error}")))?;
        let facts = file.metadata().map_err(|error| failed(&format!("cannot be looked at: {error}")))?;
        if !facts.is_file() || facts.mode() & 0o077 != 0 {
            return Err(failed("is no file that its owner alone can read; close it by chmod 600"));
        }
        let mut text = String::new();
        let read = Read::take(file, 128).read_to_string(&mut text);
        read.map_err(|_| failed("is no text"))?;
        let seed = audit_key_bytes(text.trim()).ok_or_else(|| failed("does not hold 64 hexadecimal digits"))?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// Makes a new key in `path` (mode 0600), where nothing may be yet.
    ///
    /// # Errors
    /// `audit_unavailable` where it cannot be made.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, BridgeError> {
        let path = path.as_ref();
        let failed = |why: String| refusal(format!("the key `{}` cannot be made: {why}", path.display()));
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| failed(error.to_string()))?;
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let mut file = made.map_err(|error| failed(error.to_string()))?;
        let text: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
        file.write_all(format!("{text}\n").as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// The public key in hexadecimal, as `cofferdam audit verify --key` takes it.
    pub fn public_text(&self) -> String {
        self.public_key().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A key, private or public, as text has it: 64 hexadecimal digits. None for anything else.
pub fn audit_key_bytes(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).filter_map(|pair| Some(pair.first()? << 4 | pair.last()?)).collect();
    if digits.len() == 64 { bytes.try_into().ok() } else { None }
}

impl AuditSigner for HostSigner {
    fn public_key(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], BridgeError> {
        Ok(self.0.sign(message).to_bytes())
    }
}
