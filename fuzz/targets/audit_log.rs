//! An audit log of any bytes: verified without a fault of ours, and a line that is read is one whose check holds.

#![no_main]

use cofferdam_kernel::audit::{Record, Verifier};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut verifier = Verifier::new();
    // Zero bytes part segments, which no line of JSON holds.
    for (at, segment) in bytes.split(|byte| *byte == 0).enumerate() {
        verifier.segment(at as u64 + 1, segment);
    }
    let found = verifier.finish();
    assert!(found.records > 0 || found.head.is_empty());
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(record) = Record::read(line) {
            assert!(line.ends_with(format!("\"check\":\"{}\"}}", record.check).as_bytes()));
        }
    }
});
