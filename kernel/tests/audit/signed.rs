//! A log that is signed: whoever can write its files but has no key can neither write it anew nor cut it unnoticed.

use super::{kinds, notes, open};
use cofferdam_bridge::audit::AuditSigner;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::in_memory::MemoryAudit;
use cofferdam_kernel::audit::{AuditSettings, FaultKind, Verified, Verifier};
use ed25519_dalek::{Signer, SigningKey};

struct Key(SigningKey);

impl AuditSigner for Key {
    fn public_key(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], BridgeError> {
        Ok(self.0.sign(message).to_bytes())
    }
}

fn key(seed: u8) -> Key {
    Key(SigningKey::from_bytes(&[seed; 32]))
}

/// A log with several signed segments and a signed end.
fn signed(seed: u8) -> MemoryAudit {
    let store = MemoryAudit::new();
    let recorder = open(&store, AuditSettings::new().segment_bytes(1500).signed_by(key(seed)));
    notes(&recorder, 12);
    drop(recorder);
    store
}

fn by(store: &MemoryAudit, seed: u8) -> Verified {
    let mut verifier = Verifier::new();
    assert!(verifier.trust(&key(seed).public_key()));
    store.contents().iter().for_each(|(first, bytes)| verifier.segment(*first, bytes));
    verifier.finish()
}

#[test]
fn a_signed_log_is_whole_for_who_trusts_the_key() {
    let found = by(&signed(1), 1);
    assert_eq!(kinds(&found), []);
    assert_eq!(found.signed, Some(found.last));
}

#[test]
fn a_log_that_is_cut_after_any_record_but_a_signed_one_is_found() {
    let store = signed(1);
    let contents = store.contents();
    let (last, bytes) = contents.last_key_value().unwrap();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for kept in 1..lines.len() {
        store.tamper(*last, Some(lines[..kept].concat()));
        assert!(kinds(&by(&store, 1)).iter().any(|(_, kind)| *kind == FaultKind::Unsigned), "{kept} records kept");
    }
}

#[test]
fn a_log_that_is_written_anew_without_the_key_is_found() {
    let forged = signed(2);
    let found = by(&forged, 1);
    assert!(
        !found.faults.is_empty()
            && found.faults.iter().all(|fault| matches!(fault.kind, FaultKind::Signature | FaultKind::Unsigned))
    );
    let unsigned = super::written(5);
    assert_eq!(kinds(&by(&unsigned, 1)), [(1, FaultKind::Unsigned)]);
}
