//! Ten thousand frames of a plane, each changed at random: whatever comes, the kernel's answers stay defined.

use crate::fixture::{Tenant, scripted};
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_contract::wire::fault::WireFault;

const FRAMES: usize = 10_000;

/// Frames for one conversation: few, so that many conversations are had.
const IN_ONE: usize = 20;

const SAMPLES: [&str; 9] = [
    r#"{"jsonrpc":"2.0","method":"execution.event","params":{"execution_id":"r","event":{"event":"stdout","bytes":"aGVsbG8="}}}"#,
    r#"{"jsonrpc":"2.0","method":"execution.event","params":{"execution_id":"r","event":{"event":"stderr","bytes":""}}}"#,
    r#"{"jsonrpc":"2.0","method":"execution.event","params":{"execution_id":"r","event":{"event":"stopped","signal":20}}}"#,
    r#"{"jsonrpc":"2.0","method":"execution.event","params":{"execution_id":"r","event":{"event":"continued"}}}"#,
    r#"{"jsonrpc":"2.0","method":"execution.event","params":{"execution_id":"r","event":{"event":"violation","denial":{"access":"filesystem.read","subject":"/x"}}}}"#,
    r#"{"jsonrpc":"2.0","method":"execution.event","params":{"execution_id":"r","event":{"event":"guest_request","call_id":"1","operation":"_x","payload":{"a":[1,2,{"b":null}]}}}}"#,
    r#"{"jsonrpc":"2.0","id":4,"result":{"context_id":"c"}}"#,
    r#"{"jsonrpc":"2.0","id":4,"error":{"code":-32000,"message":"m","data":{"code":"not_found","category":"guest","retryable":false,"message":"m"}}}"#,
    r#"{"jsonrpc":"2.0","method":"execution.event","params":{"execution_id":"r","event":{"event":"exited","cause":{"cause":"exited","code":0},"usage":{},"enforcement":{"tier":"none","mechanisms":[]},"denials":[],"executable_later":[]}}}"#,
];

/// xorshift64*: the same frames each time.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % most.max(1)
    }
}

fn mutated(random: &mut Random) -> Vec<u8> {
    let mut frame = SAMPLES[random.below(SAMPLES.len())].as_bytes().to_vec();
    for _ in 0..random.below(4) {
        let at = random.below(frame.len());
        match random.below(8) {
            0 => frame[at] = u8::try_from(random.below(256)).unwrap(),
            1 => frame[at] ^= 1 << random.below(8),
            2 => drop(frame.remove(at)),
            3 => frame.insert(at, b"{}[]\",:0\\\n"[random.below(10)]),
            4 => frame.truncate(at.max(1)),
            5 => {
                let other = SAMPLES[random.below(SAMPLES.len())].as_bytes();
                frame.extend_from_slice(&other[random.below(other.len())..]);
            }
            6 => {
                let part = frame[at..].to_vec();
                frame.extend(part);
            }
            _ => frame.splice(at..at, b"\xff\xc0\x00".iter().copied()).for_each(drop),
        }
        if frame.is_empty() {
            frame.push(b'x');
        }
    }
    frame.push(b'\n');
    frame
}

#[test]
fn b6_ten_thousand_mutated_frames_leave_the_kernel_s_answers_defined() {
    let mut random = Random(0x5eed_cafe_f00d_0001);
    let mut ends = std::collections::BTreeMap::new();
    for conversation in 0..FRAMES / IN_ONE {
        let mut bytes: Vec<u8> = (0..IN_ONE).flat_map(|_| mutated(&mut random)).collect();
        // However it went so far, then the plane breaks off in the middle of a frame, or the frame is a breach itself.
        bytes.extend_from_slice(b"\n");
        let (plane, thread) = scripted(bytes);
        let tenant = Tenant::new(&plane);
        let name = match tenant.try_start("r", "true").map(|run| run.finish().1.cause) {
            Ok(ExitCause::PlaneFault { error }) | Err(error) => {
                assert_eq!(error.code, ErrorCode::PlaneFault, "conversation {conversation}: {error:?}");
                let name = error.details["wire_fault"].as_str().expect("a breach has its name").to_owned();
                assert!(WireFault::ALL.iter().any(|fault| fault.as_str() == name), "{name}");
                name
            }
            Ok(other) => format!("{other:?}").split([' ', '{']).next().unwrap_or_default().to_owned(),
        };
        *ends.entry(name).or_insert(0) += 1;
        drop(plane);
        thread.join().unwrap();
    }
    // The mutations must reach further than the parser.
    assert!(ends.len() >= 6, "{ends:?}");
}
