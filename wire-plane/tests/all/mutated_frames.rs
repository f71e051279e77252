//! Ten thousand frames of a plane, each changed at random: whatever comes, the kernel's answers stay defined.

use crate::fixture::{Tenant, scripted, welcome};
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::ExecutionEvent;
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::ids::ExecutionId;
use cofferdam_contract::wire::data::Data;
use cofferdam_contract::wire::fault::WireFault;
use cofferdam_contract::wire::frame::{Encoding, FrameDecoder};
use cofferdam_contract::wire::hello::Bounds;
use cofferdam_contract::wire::kernel_session::{FromPlane, KernelSession};
use cofferdam_contract::wire::method;

/// So many are read by the kernel: a conversation ends with the first that ends it.
const FRAMES: usize = 10_000;

/// Most frames of one conversation.
const IN_ONE: usize = 20;

/// What the kernel's state machine makes of a conversation, without sockets, threads or time.
struct Expected {
    session: KernelSession,
    decoder: FrameDecoder,
}

impl Expected {
    /// As `scripted` begins: greeted, with a context, and the execution `r` started.
    fn begin() -> Self {
        let bounds = Bounds::default();
        let mut session = KernelSession::new(&[Encoding::Json], bounds);
        session.greet().unwrap();
        let mut own = Self { session, decoder: FrameDecoder::new(bounds.frame_bytes(), Bounds::DEPTH) };
        assert_eq!(own.end_by(welcome(1).as_bytes()), None);
        own.session.expect_execution(ExecutionId::new("r"), 256 * 1024);
        for (id, asked) in [(2, method::CREATE_COMMAND_CONTEXT), (3, method::START_EXECUTION)] {
            own.session.call(asked, Data::Null).unwrap();
            let answer = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":null}}\n");
            assert_eq!(own.end_by(answer.as_bytes()), None);
        }
        own
    }

    /// How these bytes end it, if they do: the breach's name, or the cause that is told.
    fn end_by(&mut self, bytes: &[u8]) -> Option<String> {
        self.decoder.feed(bytes);
        loop {
            let taken = match self.decoder.next_value() {
                Ok(Some(data)) => self.session.receive(data),
                Ok(None) => return None,
                Err(fault) => Err(fault),
            };
            match taken {
                Err(fault) => return Some(fault.as_str().to_owned()),
                Ok(FromPlane::Event { event: ExecutionEvent::Exited(report), .. }) => {
                    return Some(format!("{:?}", report.cause));
                }
                Ok(_) => {}
            }
        }
    }
}

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
    let (mut sent, mut ends) = (0, std::collections::BTreeMap::new());
    while sent < FRAMES {
        let (mut expected, mut bytes, mut end) = (Expected::begin(), Vec::new(), None);
        for _ in 0..IN_ONE {
            let frame = mutated(&mut random);
            end = expected.end_by(&frame);
            bytes.extend(frame);
            sent += 1;
            if end.is_some() {
                break;
            }
        }
        // Where nothing has ended it, an empty line does.
        let end = end.unwrap_or_else(|| WireFault::Malformed.as_str().to_owned());
        bytes.push(b'\n');
        let (plane, thread) = scripted(bytes.clone());
        let tenant = Tenant::new(&plane);
        let told = match tenant.try_start("r", "true").map(|run| run.finish().1.cause) {
            Ok(ExitCause::PlaneFault { error }) | Err(error) if error.details.get("wire_fault").is_some() => {
                assert_eq!(error.code, ErrorCode::PlaneFault, "{error:?}");
                error.details["wire_fault"].as_str().expect("a breach has its name").to_owned()
            }
            Ok(other) => format!("{other:?}"),
            Err(error) => panic!("no answer that is defined: {error:?}"),
        };
        assert_eq!(told, end, "{}", String::from_utf8_lossy(&bytes));
        *ends.entry(told).or_insert(0) += 1;
        drop(plane);
        thread.join().unwrap();
    }
    // The mutations must reach further than the parser.
    assert!(ends.len() >= 8, "{ends:?}");
}
