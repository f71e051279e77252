//! A request to run a program: whatever is read is refused with a place, or can be started and read again.

#![no_main]

use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::exec::RunProgram;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    match RunProgram::from_json(text) {
        Ok(request) => {
            assert!(request.check().is_ok());
            assert!(request.program_path.starts_with('/') && request.timeout_ms > 0);
            let again = serde_json::to_vec(&request).expect("a request has JSON");
            assert_eq!(RunProgram::from_json(&again).expect("what was read can be read"), request);
        }
        Err(error) => {
            assert_eq!(error.code, ErrorCode::ExecRequestInvalid);
            let offset = error.details.get("byte_offset").map(|offset| offset.as_u64().expect("a number"));
            assert!(offset.is_none_or(|offset| offset <= text.len() as u64));
            assert!(
                offset.is_some() || error.details.contains_key("pointer") || error.details.contains_key("limit_bytes")
            );
        }
    }
});
