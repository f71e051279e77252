//! What a run sends first to its local proxy: a head of HTTP, or the messages of SOCKS5.

#![no_main]

use cofferdam_plane_kit::network::local_proxy::http_head::{self, Beginning, LONGEST_HEAD};
use cofferdam_plane_kit::network::local_proxy::socks_message::{self, Read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = http_head::read(bytes);
    match &whole {
        Beginning::Whole(head, length) => {
            assert!(*length <= bytes.len() && *length <= LONGEST_HEAD);
            // What comes after a head changes nothing about it, and without its last byte it is none.
            assert_eq!(http_head::read(&bytes[..*length]), whole);
            assert!(!matches!(http_head::read(&bytes[..*length - 1]), Beginning::Whole(..)));
            if let Some(handed_on) = head.handed_on() {
                // One head, and nothing of the run's dealings with its proxy.
                assert_eq!(handed_on.windows(4).position(|four| four == b"\r\n\r\n"), Some(handed_on.len() - 4));
                assert!(!handed_on.to_ascii_lowercase().windows(22).any(|some| some == b"\r\nproxy-authorization:"));
                assert_eq!(handed_on.iter().filter(|byte| **byte == b'\n').count(), {
                    handed_on.windows(2).filter(|two| two == b"\r\n").count()
                });
            }
        }
        Beginning::Broken(fault) => {
            assert!((400..=599).contains(&fault.status));
            // What is broken does not mend.
            assert!(matches!(http_head::read(&[bytes, b"\r\n\r\n"].concat()), Beginning::Broken(_)));
        }
        _ => assert!(bytes.len() <= LONGEST_HEAD),
    }
    grows(bytes, socks_message::greeting);
    grows(bytes, socks_message::password);
    grows(bytes, socks_message::wish);
});

/// A message that is whole stays what it is, whatever comes after it, and is not whole before.
fn grows<T: PartialEq + std::fmt::Debug>(bytes: &[u8], read: impl Fn(&[u8]) -> Read<T>) {
    if let Read::Whole(message, length) = read(bytes) {
        assert!(length <= bytes.len());
        assert_eq!(read(&bytes[..length - 1]), Read::Unfinished);
        assert_eq!(read(&[&bytes[..length], b"\0"].concat()), Read::Whole(message, length));
    }
}
