//! The first message of a TLS connection (RFC 8446, 4.1.2), as far as it tells to whom it goes. Nothing is decrypted: it stands in the
//! clear.

use cofferdam_bridge::network_rules::canonical_name;

/// What the beginning of a connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Beginning {
    /// More bytes are needed.
    Unfinished,
    /// A first message.
    Hello(ClientHello),
    /// Something else, or broken.
    NotTls,
}

/// What a first message tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientHello {
    /// The server's name (RFC 6066, 3) in its canonical form.
    pub server_name: Option<String>,
    /// There is an encrypted first message in it (draft-ietf-tls-esni), whose name may be another, or what looks like one.
    pub has_encrypted: bool,
}

/// Longest first message that is read, in bytes: keys of today take some two thousand.
pub const LONGEST: usize = 32 << 10;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const LONGEST_RECORD: usize = 1 << 14;
/// Bytes before what a record holds: kind, version, length.
const RECORD_HEAD: usize = 5;
const SERVER_NAME: u16 = 0;
const ENCRYPTED: u16 = 0xfe0d;
const HOST_NAME: u8 = 0;

/// Reads `bytes`, all that came so far.
pub fn read(bytes: &[u8]) -> Beginning {
    Reader::default().read(bytes)
}

/// What is not TLS.
struct Other;

/// Puts the first message together, which may be spread over records (RFC 8446, 5.1), as it comes: each byte is looked at once.
#[derive(Debug, Default)]
pub struct Reader {
    /// What has come of the message.
    message: Vec<u8>,
    /// As many bytes of the stream were read.
    done: usize,
    /// As many bytes of the record that was begun are yet to come.
    left: usize,
}

impl Reader {
    /// Reads on. `bytes`: all that came so far, which begin with those of the last call.
    pub fn read(&mut self, bytes: &[u8]) -> Beginning {
        match self.is_whole(bytes) {
            Ok(Some(length)) => {
                let hello = self.message.get(4..4 + length).and_then(hello);
                hello.map_or(Beginning::NotTls, Beginning::Hello)
            }
            Ok(None) if bytes.len() < LONGEST => Beginning::Unfinished,
            _ => Beginning::NotTls,
        }
    }

    /// The length of the message's body, once all of it has come.
    fn is_whole(&mut self, bytes: &[u8]) -> Result<Option<usize>, Other> {
        loop {
            if let Some([kind, high, middle, low]) = self.message.first_chunk::<4>() {
                let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
                if *kind != CLIENT_HELLO || length > LONGEST {
                    return Err(Other);
                }
                if self.message.len() >= 4 + length {
                    return Ok(Some(length));
                }
            } else if self.message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
                return Err(Other);
            }
            let rest = bytes.get(self.done..).unwrap_or_default();
            if self.left > 0 {
                let Some(part) = rest.get(..self.left.min(rest.len())).filter(|part| !part.is_empty()) else {
                    return Ok(None);
                };
                self.message.extend_from_slice(part);
                (self.done, self.left) = (self.done + part.len(), self.left - part.len());
            } else if let Some(length) = record(rest)? {
                (self.done, self.left) = (self.done + RECORD_HEAD, length);
            } else {
                return Ok(None);
            }
        }
    }
}

/// The length of the record that `bytes` begin with; none where too few of them have come.
fn record(bytes: &[u8]) -> Result<Option<usize>, Other> {
    if !bytes.iter().zip([HANDSHAKE, 3]).all(|(byte, known)| *byte == known) {
        return Err(Other);
    }
    let Some([_, _, minor, high, low]) = bytes.first_chunk::<RECORD_HEAD>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if *minor > 4 || length == 0 || length > LONGEST_RECORD {
        return Err(Other);
    }
    Ok(Some(length))
}

/// Bytes that are read from their start.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn word(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(*self.take(2)?.first_chunk()?))
    }

    /// What a length of one byte stands before.
    fn short(&mut self) -> Option<&'a [u8]> {
        let length = self.byte()?;
        self.take(usize::from(length))
    }

    /// What a length of two bytes stands before.
    fn long(&mut self) -> Option<Self> {
        let length = self.word()?;
        self.take(usize::from(length)).map(Self)
    }
}

/// Reads the message. Whatever a server might read in two ways is none.
fn hello(message: &[u8]) -> Option<ClientHello> {
    let mut bytes = Bytes(message);
    // Version and random; session, cipher suites, compressions.
    bytes.take(34)?;
    bytes.short()?;
    bytes.long()?;
    bytes.short()?;
    let mut hello = ClientHello { server_name: None, has_encrypted: false };
    if bytes.0.is_empty() {
        return Some(hello);
    }
    let mut extensions = bytes.long()?;
    if !bytes.0.is_empty() {
        return None;
    }
    while !extensions.0.is_empty() {
        let kind = extensions.word()?;
        let body = extensions.long()?;
        match kind {
            SERVER_NAME if hello.server_name.is_some() => return None,
            SERVER_NAME => hello.server_name = Some(server_name(body)?),
            ENCRYPTED => hello.has_encrypted = true,
            _ => {}
        }
    }
    Some(hello)
}

fn server_name(mut body: Bytes<'_>) -> Option<String> {
    let mut list = body.long()?;
    let kind = list.byte()?;
    let name = list.long()?;
    // One name, as RFC 6066 has it: of two a server may take either.
    let alone = body.0.is_empty() && list.0.is_empty() && kind == HOST_NAME;
    let name = std::str::from_utf8(name.0).ok().filter(|_| alone)?;
    canonical_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(bytes: &[u8]) -> Vec<u8> {
        [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
    }

    fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &long(body)].concat()
    }

    fn named(name: &str) -> Vec<u8> {
        extension(SERVER_NAME, &long(&[&[HOST_NAME][..], &long(name.as_bytes())].concat()))
    }

    fn handshake(extensions: &[Vec<u8>]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.push(0);
        body.extend(long(&[0x13, 1]));
        body.extend([1, 0]);
        body.extend(long(&extensions.concat()));
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[CLIENT_HELLO][..], &length[1..], &body].concat()
    }

    fn records(message: &[u8], size: usize) -> Vec<u8> {
        message.chunks(size).flat_map(|part| [&[HANDSHAKE, 3, 1][..], &long(part)].concat()).collect()
    }

    fn name_in(bytes: &[u8]) -> Option<String> {
        match read(bytes) {
            Beginning::Hello(hello) => hello.server_name,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_name_is_read_whole_or_in_parts() {
        let message = handshake(&[extension(10, &[0, 2, 0, 29]), named("API.example")]);
        for size in [1, 2, 3, 5, 40, 1000] {
            let bytes = records(&message, size);
            assert_eq!(name_in(&bytes).as_deref(), Some("api.example"), "{size}");
            for length in 0..bytes.len() {
                assert_eq!(read(&bytes[..length]), Beginning::Unfinished, "{size} {length}");
            }
        }
    }

    #[test]
    fn net_29_a_message_that_comes_in_pieces_is_read_once_and_alike() {
        let padding = extension(21, &[0; 20_000]);
        let bytes = records(&handshake(&[padding, named("a.test")]), 1000);
        for step in [1, 2, 3, 7, 999, 5000] {
            let mut reader = Reader::default();
            let mut copied = 0;
            for length in (step..bytes.len()).step_by(step) {
                let before = reader.message.len();
                assert_eq!(reader.read(&bytes[..length]), Beginning::Unfinished, "{step} {length}");
                assert!(reader.message.len() >= before, "it began anew");
                copied += reader.message.len() - before;
            }
            assert!(copied <= bytes.len());
            assert_eq!(reader.read(&bytes), read(&bytes), "{step}");
            assert!(matches!(read(&bytes), Beginning::Hello(hello) if hello.server_name.as_deref() == Some("a.test")));
        }
    }

    #[test]
    fn net_20_what_can_be_read_in_two_ways_is_nothing() {
        let two = extension(SERVER_NAME, &long(&[&[0][..], &long(b"a.test"), &[0], &long(b"b.test")].concat()));
        for extensions in [
            vec![named("a.test"), named("b.test")],
            vec![two],
            vec![named("a.test\0")],
            vec![named("")],
            vec![named("127.0.0.1")],
            vec![named("a.test"), vec![0, 1, 0]],
        ] {
            assert_eq!(read(&records(&handshake(&extensions), 4000)), Beginning::NotTls, "{extensions:?}");
        }
        let absent = read(&records(&handshake(&[]), 4000));
        assert_eq!(absent, Beginning::Hello(ClientHello { server_name: None, has_encrypted: false }));
        let Beginning::Hello(hello) = read(&records(&handshake(&[named("a.test"), extension(ENCRYPTED, &[0])]), 4000))
        else {
            panic!("no hello")
        };
        assert!(hello.has_encrypted);
    }

    #[test]
    fn other_protocols_are_told_by_their_first_byte() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"SSH-2.0-x",
            &[HANDSHAKE, 2],
            &[HANDSHAKE, 3, 1, 0, 0],
            &[HANDSHAKE, 3, 1, 0x50, 0],
            &[HANDSHAKE, 3, 1, 0, 1, 2],
        ] {
            assert_eq!(read(bytes), Beginning::NotTls, "{bytes:?}");
        }
        assert_eq!(read(&[]), Beginning::Unfinished);
    }

    #[test]
    fn no_bytes_make_it_fall_over() {
        let whole = records(&handshake(&[named("a.test"), extension(ENCRYPTED, &[0])]), 30);
        let mut state = 7_u32;
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..3 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = state as usize % bytes.len();
                bytes[at] = (state >> 24) as u8;
            }
            bytes.truncate(state as usize % (bytes.len() + 1));
            let _ = read(&bytes);
        }
        assert_eq!(read(&vec![HANDSHAKE; LONGEST + 1]), Beginning::NotTls);
    }
}
