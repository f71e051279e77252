//! Properties of both state machines: whatever comes, in whatever order and however cut, nothing panics and bounds hold.

use cofferdam_bridge::descriptor::PlaneDescriptor;
use cofferdam_bridge::ids::ExecutionId;
use cofferdam_contract::wire::frame::{Encoding, FrameDecoder, encode};
use cofferdam_contract::wire::hello::Bounds;
use cofferdam_contract::wire::kernel_session::{FromPlane, KernelSession};
use cofferdam_contract::wire::plane_session::PlaneSession;
use cofferdam_contract::wire::{cbor, data::Data, json, method};
use proptest::prelude::*;

fn any_data() -> impl Strategy<Value = Data> {
    let leaf = prop_oneof![
        Just(Data::Null),
        any::<bool>().prop_map(Data::Bool),
        any::<u64>().prop_map(Data::Unsigned),
        (i64::MIN..0).prop_map(Data::Negative),
        ".{0,12}".prop_map(Data::Text),
        Just(Data::text("2.0")),
        Just(Data::text(method::EVENT)),
        Just(Data::text(method::HELLO)),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let name = prop_oneof![
            "[a-z]{1,6}",
            Just("jsonrpc".to_owned()),
            Just("id".to_owned()),
            Just("method".to_owned()),
            Just("params".to_owned()),
            Just("result".to_owned())
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Data::List),
            prop::collection::btree_map(name, inner, 0..6)
                .prop_map(|map| Data::Map(map.into_iter().map(|(name, value)| (name.into(), value)).collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn b6_no_bytes_make_a_decoder_panic_or_keep_more_than_its_bound(bytes in prop::collection::vec(any::<u8>(), 0..600), cut in 1_usize..64, binary in any::<bool>()) {
        let mut decoder = FrameDecoder::new(256, 8);
        if binary {
            decoder.switch(Encoding::Cbor, 256);
        }
        for part in bytes.chunks(cut) {
            decoder.feed(part);
            for _ in 0..bytes.len() + 1 {
                match decoder.next_value() {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(cofferdam_contract::wire::fault::WireFault::FrameTooLarge) => return Ok(()),
                    Err(_) => {}
                }
            }
        }
        prop_assert!(decoder.held() < 1 << 20);
    }

    #[test]
    fn b6_every_value_survives_both_encodings(value in any_data(), binary in any::<bool>()) {
        let mut bytes = Vec::new();
        if binary {
            cbor::encode(&value, &mut bytes);
            prop_assert_eq!(cbor::decode(&bytes, 32), Ok(value));
        } else {
            json::encode(&value, &mut bytes);
            prop_assert!(!bytes.contains(&b'\n'));
            prop_assert_eq!(json::decode(&bytes, 32), Ok(value));
        }
    }

    #[test]
    fn b6_no_sequence_of_messages_makes_a_session_panic(messages in prop::collection::vec(any_data(), 0..12)) {
        let mut plane = PlaneSession::new(PlaneDescriptor::new("p", "1"), Vec::new(), &[Encoding::Json], Bounds::default());
        let mut kernel = KernelSession::new(&[Encoding::Json], Bounds::default());
        kernel.greet().unwrap();
        for message in messages {
            let answered = plane.receive(Ok(message.clone()));
            if let Err(refused) = answered {
                // What is answered can be sent.
                prop_assert!(encode(&refused.answer, Encoding::Json, 1 << 16, &mut Vec::new()).is_ok());
            }
            let _ = kernel.receive(message);
        }
    }

    #[test]
    fn b6_no_more_is_ever_taken_than_was_granted(grants in prop::collection::vec(0_u64..5000, 0..8), sizes in prop::collection::vec(1_usize..3000, 1..20)) {
        let mut kernel = open();
        let id = ExecutionId::new("e");
        kernel.expect_execution(id.clone(), 2000);
        let mut left = 2000 + grants.iter().sum::<u64>();
        for grant in grants {
            kernel.grant(&id, grant);
        }
        for size in sizes {
            let event = Data::map([("event", Data::text("stdout")), ("bytes", Data::Bytes(vec![0; size]))]);
            let params = Data::map([("execution_id", Data::text("e")), ("event", event)]);
            let message = Data::map([("jsonrpc", Data::text("2.0")), ("method", Data::text(method::EVENT)), ("params", params)]);
            let taken = matches!(kernel.receive(message), Ok(FromPlane::Event { .. }));
            prop_assert_eq!(taken, size as u64 <= left);
            if !taken {
                return Ok(());
            }
            left -= size as u64;
        }
    }
}

fn open() -> KernelSession {
    let mut kernel = KernelSession::new(&[Encoding::Json], Bounds::default());
    kernel.greet().unwrap();
    let text = r#"{"jsonrpc":"2.0","id":1,"result":{"protocol_version":1,"encoding":"json","descriptor":{"name":"p","version":"1","contract_generation":1,"tiers":[],"features":[],"limits":[]}}}"#;
    kernel.receive(json::decode(text.as_bytes(), 16).unwrap()).unwrap();
    kernel
}
