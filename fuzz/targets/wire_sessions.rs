//! Messages in any order, to both sides of a session: nothing panics, answers can be sent, and no more is taken than was granted.

#![no_main]

use cofferdam_bridge::descriptor::PlaneDescriptor;
use cofferdam_bridge::event::ExecutionEvent;
use cofferdam_bridge::ids::ExecutionId;
use cofferdam_contract::wire::frame::{Encoding, FrameDecoder, encode};
use cofferdam_contract::wire::hello::Bounds;
use cofferdam_contract::wire::kernel_session::{FromPlane, KernelSession};
use cofferdam_contract::wire::method;
use cofferdam_contract::wire::plane_session::{FromKernel, PlaneSession};
use libfuzzer_sys::fuzz_target;

const CREDIT: u64 = 1000;

fuzz_target!(|bytes: &[u8]| {
    let bounds = Bounds::default();
    let descriptor = PlaneDescriptor::new("fuzzed", "1");
    let mut plane = PlaneSession::new(descriptor, vec!["clock".to_owned()], &[Encoding::Json], bounds);
    let mut kernel = KernelSession::new(&[Encoding::Json], bounds);
    kernel.greet().expect("a new session greets");
    let mut decoder = FrameDecoder::new(4096, Bounds::DEPTH);
    decoder.feed(bytes);
    let (mut taken, mut open) = (0, false);
    while let Some(frame) = decoder.next_value().transpose() {
        let past = frame.clone().is_err() && bytes.len() > 4096;
        match plane.receive(frame.clone()) {
            Err(refused) => assert!(encode(&refused.answer, Encoding::Json, 1 << 16, &mut Vec::new()).is_ok()),
            Ok(FromKernel::Call { id, .. }) => {
                plane.reply(id, Ok(cofferdam_contract::wire::data::Data::Null)).expect("a call is answered once");
                assert!(plane.reply(id, Ok(cofferdam_contract::wire::data::Data::Null)).is_none());
            }
            Ok(_) => {}
        }
        if let Ok(frame) = frame {
            match kernel.receive(frame) {
                Ok(FromPlane::Welcomed(..)) => {
                    open = true;
                    kernel.expect_execution(ExecutionId::new("e"), CREDIT);
                    kernel.call(method::PREFLIGHT, cofferdam_contract::wire::data::Data::Null).expect("it is open");
                }
                Ok(FromPlane::Event { event: ExecutionEvent::Stdout { bytes } | ExecutionEvent::Stderr { bytes }, .. }) => {
                    assert!(open);
                    taken += bytes.len() as u64;
                    assert!(taken <= CREDIT, "more was taken than was granted");
                }
                _ => {}
            }
        }
        if past {
            return;
        }
    }
});
