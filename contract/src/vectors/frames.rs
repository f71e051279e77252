//! Frames of the wire: lines of JSON that are messages, and ones that are none, with the name of the fault.

use crate::wire::cbor;
use crate::wire::fault::WireFault;
use crate::wire::hello::Bounds;
use crate::wire::json;
#[cfg(test)]
use crate::wire::message::Message;
use serde_json::{Value, json};

const VALID: [&str; 12] = [
    r#"{"jsonrpc":"2.0","id":1,"method":"session.ping"}"#,
    r#"{"jsonrpc":"2.0","id":9007199254740991,"method":"session.ping","params":{}}"#,
    r#"{"method":"session.ping","params":{},"id":2,"jsonrpc":"2.0","of_the_future":[]}"#,
    r#" { "jsonrpc" : "2.0" , "method" : "session.cancel" , "params" : { "id" : 4 } } "#,
    r#"{"jsonrpc":"2.0","method":"execution.credit","params":{"execution_id":"e","bytes":65536}}"#,
    r#"{"jsonrpc":"2.0","method":"execution.event","params":{"execution_id":"e","event":{"event":"stdout","bytes":"aGk="}}}"#,
    r#"{"jsonrpc":"2.0","id":1,"result":null}"#,
    r#"{"jsonrpc":"2.0","id":1,"result":{"context_id":"\u00e4\ud83d\ude00"}}"#,
    r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"m","data":{"fault":"unknown_method"}}}"#,
    r#"{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"of its own"}}"#,
    r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"m","data":{"fault":"malformed"}}}"#,
    r#"{"jsonrpc":"2.0","id":1,"result":-9223372036854775808}"#,
];

const INVALID: [(&str, WireFault); 28] = [
    ("", WireFault::Malformed),
    ("{", WireFault::Malformed),
    ("nonsense", WireFault::Malformed),
    ("{'jsonrpc':'2.0'}", WireFault::Malformed),
    ("{\"jsonrpc\":\"2.0\",}", WireFault::Malformed),
    ("{} {}", WireFault::Malformed),
    ("{\"a\":NaN}", WireFault::Malformed),
    ("{\"a\":01}", WireFault::Malformed),
    ("{\"a\":1e999}", WireFault::Malformed),
    ("{\"a\":\"\\ud800\"}", WireFault::Malformed),
    ("{\"a\":\"\t\"}", WireFault::Malformed),
    (r#"{"jsonrpc":"2.0","jsonrpc":"2.0","id":1,"method":"session.ping"}"#, WireFault::DuplicateKey),
    (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":1,"\u0061":2}}"#, WireFault::DuplicateKey),
    (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":[{"b":1,"b":1}]}}"#, WireFault::DuplicateKey),
    ("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", WireFault::TooDeep),
    ("[]", WireFault::InvalidMessage),
    ("null", WireFault::InvalidMessage),
    ("{}", WireFault::InvalidMessage),
    (r#"[{"jsonrpc":"2.0","id":1,"method":"session.ping"}]"#, WireFault::InvalidMessage),
    (r#"{"id":1,"method":"session.ping"}"#, WireFault::InvalidMessage),
    (r#"{"jsonrpc":2.0,"id":1,"method":"session.ping"}"#, WireFault::InvalidMessage),
    (r#"{"jsonrpc":"2.0","id":"1","method":"session.ping"}"#, WireFault::InvalidMessage),
    (r#"{"jsonrpc":"2.0","id":0,"method":"session.ping"}"#, WireFault::InvalidMessage),
    (r#"{"jsonrpc":"2.0","id":1.5,"method":"session.ping"}"#, WireFault::InvalidMessage),
    (r#"{"jsonrpc":"2.0","id":9007199254740992,"method":"session.ping"}"#, WireFault::InvalidMessage),
    (r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{"code":1,"message":"m"}}"#, WireFault::InvalidMessage),
    (r#"{"jsonrpc":"2.0","id":1,"error":{"message":"m"}}"#, WireFault::InvalidMessage),
    (r#"{"jsonrpc":"2.0","id":1,"method":"session.ping","params":[]}"#, WireFault::InvalidParams),
];

/// CBOR items by their bytes in hexadecimal.
const INVALID_CBOR: [(&str, WireFault); 8] = [
    ("", WireFault::Malformed),
    ("9f01ff", WireFault::Malformed),
    ("c001", WireFault::Malformed),
    ("0102", WireFault::Malformed),
    ("a10101", WireFault::Malformed),
    ("61ff", WireFault::InvalidUtf8),
    ("a2616101616102", WireFault::DuplicateKey),
    ("fb7ff0000000000000", WireFault::Malformed),
];

/// The file.
pub(super) fn vectors() -> Value {
    let valid = VALID.iter().map(|frame| json!({ "json": frame }));
    let cbor = VALID.iter().filter_map(|frame| {
        let mut bytes = Vec::new();
        cbor::encode(&json::decode(frame.as_bytes(), Bounds::DEPTH).ok()?, &mut bytes);
        Some(json!({ "cbor": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), "of": frame }))
    });
    let invalid = INVALID.iter().map(|(frame, fault)| json!({ "json": frame, "fault": fault.as_str() }));
    let invalid_cbor = INVALID_CBOR.iter().map(|(hex, fault)| json!({ "cbor": hex, "fault": fault.as_str() }));
    json!({
        "type": "wire_frames",
        "valid": valid.chain(cbor).collect::<Vec<_>>(),
        "invalid": invalid.chain(invalid_cbor).collect::<Vec<_>>(),
    })
}

/// What is wrong with a frame, if anything.
#[cfg(test)]
fn fault(decoded: Result<crate::wire::data::Data, WireFault>) -> Option<WireFault> {
    decoded.and_then(Message::read).err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b6_every_frame_is_what_its_vector_says() {
        for frame in VALID {
            assert_eq!(fault(json::decode(frame.as_bytes(), Bounds::DEPTH)), None, "{frame}");
        }
        for (frame, expected) in INVALID {
            assert_eq!(fault(json::decode(frame.as_bytes(), Bounds::DEPTH)), Some(expected), "{frame}");
        }
        for (hex, expected) in INVALID_CBOR {
            let bytes: Vec<u8> =
                (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
            assert_eq!(fault(cbor::decode(&bytes, Bounds::DEPTH)), Some(expected), "{hex}");
        }
    }
}
