//! What a run sends where rules decide about requests: what passes is a beginning of what was sent, but for what the last request says of its connection, the
//! same however it arrived in parts, and holds no request that the rules do not let through.

#![no_main]

use cofferdam_bridge::network_rules::HttpRules;
use cofferdam_bridge::profile::{HttpRule, NetworkProfile};
use cofferdam_bridge::verdict::RuleRef;
use cofferdam_plane_kit::network::http::{Refusal, Requests};
use libfuzzer_sys::fuzz_target;

fn passed(bytes: &[u8], step: usize) -> (Vec<u8>, Result<(), Refusal>) {
    let mut profile = NetworkProfile::default();
    let methods = vec!["GET".to_owned(), "POST".to_owned()];
    profile.http.push(HttpRule::new(methods, "a.test", 80, "/v1", RuleRef::new("t", None, "t")));
    let Some(rules) = HttpRules::new(&profile).of("a.test", 80) else { return (Vec::new(), Ok(())) };
    let (mut requests, mut passed) = (Requests::new("a.test", 80, rules), Vec::new());
    let outcome = bytes.chunks(step).try_for_each(|part| requests.take(part, &mut passed));
    (passed, outcome)
}

/// Whether the whole lines of `passed` are a beginning of `bytes`, both without what the head of a request says of its connection.
fn is_beginning(passed: &[u8], bytes: &[u8]) -> bool {
    let says = |line: &&[u8]| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        ["connection", "keep-alive", "te"].iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    };
    let without = |text: &[u8]| -> Vec<u8> {
        text.split_inclusive(|byte| *byte == b'\n').filter(|line| !says(line)).flatten().copied().collect()
    };
    let whole = passed.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    without(bytes).starts_with(&without(passed.get(..whole).unwrap_or_default()))
}

fuzz_target!(|bytes: &[u8]| {
    // With an end: a head that is broken may be refused before it is whole, and is then at the latest.
    let bytes = &[bytes, b"\r\n\r\n"].concat();
    let (whole, outcome) = passed(bytes, bytes.len());
    assert!(is_beginning(&whole, bytes));
    let (parts, again) = passed(bytes, 3);
    // A body that is broken passes as far as it was read before it broke.
    assert!(is_beginning(&parts, bytes) && outcome.is_err() == again.is_err());
    if outcome.is_ok() {
        assert_eq!(whole, parts);
    }
    let (all, fine) = passed(&parts, 1);
    assert!(fine.is_ok() && all == parts, "what passed once passes again");
    if let Some(start) = whole.get(..4) {
        assert!([&b"GET "[..], b"POST"].contains(&start));
    }
});
