//! `cofferdam audit verify`.

use super::audit::Which;
use crate::failure::Failure;
use crate::report::audit;
use clap::Args;
use cofferdam_bridge::audit::AuditStore;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_kernel::audit::{FaultKind, Verified, Verifier};
use cofferdam_plane_kit::host::audit_key_bytes;

/// The log is whole.
const WHOLE: u8 = 0;
/// Something was changed, moved or is missing.
const FAULTY: u8 = 1;
/// All is whole but the end, which was not written whole.
const TORN: u8 = 3;

/// Verifies the whole log: that no record was changed, moved, put in or taken out.
///
/// Records are chained by their hashes, so that a change is found at the record that was changed. Whoever can write the log's files can also
/// write the whole log anew, or cut off its end: --head finds that by what an earlier verification told, and --key by
/// signatures. docs/audit.md says what is found and what is not.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes:\n  0    the log is whole\n  1    it is not; each fault is told with the number of its record\n  \
    3    it ends in a record that was not written whole, as after a crash; the next run cuts it and records that\n  \
    125  the log cannot be read"
)]
pub(crate) struct Verify {
    /// Trust this public key (64 hexadecimal digits): every segment and the end of the log must be signed by it.
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
    /// What an earlier verification told as its head: that record must still be there.
    #[arg(long, value_name = "SEQUENCE:CHECK")]
    head: Option<String>,
    #[command(flatten)]
    which: Which,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Print the JSON Schema of what --json prints, and verify nothing.
    #[arg(long)]
    json_schema: bool,
}

impl Verify {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        if self.json_schema {
            super::print(&audit::verified_schema())?;
            return Ok(0);
        }
        let verified = self.verify()?;
        super::print(&if self.json { audit::verified_json(&verified) } else { audit::verified(&verified) })?;
        Ok(match verified.faults.as_slice() {
            [] => WHOLE,
            [fault] if fault.kind == FaultKind::Torn => TORN,
            _ => FAULTY,
        })
    }

    fn verify(&self) -> Result<Verified, Failure> {
        let mut verifier = Verifier::new();
        for key in &self.key {
            let bytes = audit_key_bytes(key).filter(|bytes| verifier.trust(bytes));
            bytes.ok_or_else(|| wrong("--key is no public key", "cofferdam audit key FILE prints it"))?;
        }
        if let Some(head) = &self.head {
            let parts = head.split_once(':').and_then(|(seq, check)| Some((seq.parse().ok()?, check)));
            let parts = parts.filter(|(_, check)| check.len() == 64);
            let (seq, check) =
                parts.ok_or_else(|| wrong("--head is not SEQUENCE:CHECK", "cofferdam audit verify prints it"))?;
            verifier.seen(seq, check);
        }
        let log = self.which.open()?;
        // Held for as long as it takes to see how far it goes: nobody is in the midst of a record then.
        let segments = {
            let _held = log.lock()?;
            log.segments()?
        };
        for segment in segments {
            verifier.segment(segment.first, &log.read(segment.first, 0, segment.length)?);
        }
        Ok(verifier.finish())
    }
}

fn wrong(sentence: &str, hint: &str) -> Failure {
    Failure::new(ErrorCode::RequestInvalid, sentence).hint(hint)
}
