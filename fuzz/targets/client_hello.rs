//! The first bytes of TLS: whatever is read is read the same when more follows and however it comes, and its name is one that a rule could
//! name.

#![no_main]

use cofferdam_bridge::network_rules::canonical_name;
use cofferdam_plane_kit::network::client_hello::{Beginning, Reader, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = read(bytes);
    if let Beginning::Hello(hello) = &whole {
        if let Some(name) = &hello.server_name {
            assert_eq!(canonical_name(name).as_ref(), Some(name));
        }
        let longer = [bytes, b"more"].concat();
        assert_eq!(read(&longer), whole);
    }
    if bytes.len() > 1 {
        // What is no beginning does not become one by more bytes, and what is unfinished was so before.
        let half = read(&bytes[..bytes.len() / 2]);
        match whole {
            Beginning::Unfinished => assert_eq!(half, Beginning::Unfinished),
            _ => assert!(half == Beginning::Unfinished || half == whole),
        }
        // Piece by piece it is the same as at once: the first byte says how large the pieces are.
        let (mut reader, step) = (Reader::default(), usize::from(bytes[0] % 16) + 1);
        let pieces = (step..bytes.len()).step_by(step).map(|length| reader.read(&bytes[..length]));
        if pieces.collect::<Vec<_>>().iter().all(|one| *one == Beginning::Unfinished) {
            assert_eq!(reader.read(bytes), whole);
        }
    }
});
