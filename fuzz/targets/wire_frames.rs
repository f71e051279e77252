//! Bytes of a connection: whatever comes is a value, or a fault by name; a value is written as it was read, in both encodings.

#![no_main]

use cofferdam_contract::wire::fault::WireFault;
use cofferdam_contract::wire::frame::{Encoding, FrameDecoder, encode_around};
use cofferdam_contract::wire::message::Message;
use cofferdam_contract::wire::{cbor, json};
use libfuzzer_sys::fuzz_target;

const DEPTH: usize = 32;

fuzz_target!(|input: &[u8]| {
    let Some((first, bytes)) = input.split_first() else { return };
    let mut decoder = FrameDecoder::new(4096, DEPTH);
    // Where byte strings are read makes no difference.
    let mut apart = FrameDecoder::new(4096, DEPTH).large_from(5);
    if first & 1 == 1 {
        decoder.switch(Encoding::Cbor, 4096);
        apart.switch(Encoding::Cbor, 4096);
    }
    for part in bytes.chunks(usize::from(first >> 1) + 1) {
        decoder.feed(part);
        apart.feed(part);
        loop {
            let next = decoder.next_value();
            assert_eq!(apart.next_value(), next);
            match next {
                Ok(Some(value)) => {
                    let (mut text, mut binary) = (Vec::new(), Vec::new());
                    json::encode(&value, &mut text);
                    cbor::encode(&value, &mut binary);
                    assert!(!text.contains(&b'\n'));
                    let mut around = Vec::new();
                    let places = encode_around(&value, Encoding::Cbor, 1 << 16, &mut around).expect("it fits");
                    for (at, bytes) in places.into_iter().rev() {
                        around.splice(at..at, bytes.iter().copied());
                    }
                    assert_eq!(around.get(4..), Some(binary.as_slice()));
                    assert_eq!(cbor::decode(&binary, DEPTH).as_ref(), Ok(&value));
                    assert!(json::decode(&text, DEPTH).is_ok());
                    if let Ok(message) = Message::read(value) {
                        // Errors that are not of this release lose their words.
                        let again = Message::read(message.into_data()).expect("a message can be sent on");
                        assert_eq!(Message::read(again.clone().into_data()), Ok(again));
                    }
                }
                Ok(None) => break,
                Err(WireFault::FrameTooLarge) => return,
                Err(_) => {}
            }
        }
    }
});
