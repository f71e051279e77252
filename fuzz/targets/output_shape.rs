//! Output as text, JSON or lines: each is what it says, and a fault lies where it is told to.

#![no_main]

use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_kernel::output::Shape;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let is_text = std::str::from_utf8(bytes).is_ok();
    for shape in [Shape::text(), Shape::lines(), Shape::json()] {
        match (shape.apply(bytes), is_text) {
            (Ok(value), true) => check(&value, bytes),
            (Err(error), text) => {
                let offset = error.details["byte_offset"].as_u64().expect("a number") as usize;
                assert!(offset <= bytes.len());
                match error.code {
                    ErrorCode::OutputInvalidUtf8 => assert!(!text && std::str::from_utf8(&bytes[..offset]).is_ok()),
                    code => assert!(text && code == ErrorCode::OutputInvalidJson),
                }
            }
            (Ok(_), false) => panic!("what is no UTF-8 was taken for some"),
        }
        // Replacing never fails for want of UTF-8.
        if let Err(error) = shape.lossy().apply(bytes) {
            assert_eq!(error.code, ErrorCode::OutputInvalidJson);
        }
    }
    assert!(Shape::text().lossy().apply(bytes).is_ok() && Shape::lines().lossy().apply(bytes).is_ok());
});

/// A text or line has no white space around it, and no line is empty.
fn check(value: &Value, bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).expect("looked at before");
    if let Some(shaped) = Shape::text().apply(bytes).expect("text").as_str() {
        assert!(!shaped.is_empty() && shaped == text.trim());
    }
    let lines = Shape::lines().apply(bytes).expect("lines");
    for line in lines.as_array().expect("a list") {
        let line = line.as_str().expect("a text");
        assert!(!line.is_empty() && line == line.trim() && !line.contains('\n'));
    }
    if let Ok(parsed) = serde_json::from_str::<Value>(text) {
        assert_eq!(Shape::json().apply(bytes).expect("JSON"), parsed);
    }
    drop(serde_json::to_string(value).expect("a value has JSON"));
}
