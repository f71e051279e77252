//! Messages of the domain name system (RFC 1035): one question is read, one answer written. No names but the question's are read,
//! and compressed names are never followed.

use std::net::IpAddr;

/// Bytes before the question.
const HEADER: usize = 12;
/// Longest name on the wire, with lengths and the root (RFC 1035, 2.3.4).
const LONGEST_NAME: usize = 255;
/// Longest label.
const LONGEST_LABEL: u8 = 63;
/// Seconds that an answer may be remembered: as long as a run, within reason.
const TIME_TO_LIVE: u32 = 300;
/// The internet's class.
const INTERNET: u16 = 1;

/// What is asked about a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Its IPv4 addresses.
    A,
    /// Its IPv6 addresses.
    Aaaa,
    /// How a service there is reached (RFC 9460): SVCB or HTTPS.
    Service,
    /// Anything else.
    Other(u16),
}

/// How an answer ends (RFC 1035, 4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// As asked.
    Fine = 0,
    /// The question is broken.
    Malformed = 1,
    /// It cannot be answered now.
    Failed = 2,
    /// There is no such name.
    NoSuchName = 3,
    /// Not a kind of request that is answered.
    NotImplemented = 4,
    /// It is not answered to this asker.
    Refused = 5,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    id: [u8; 2],
    /// Whether recursion was asked for, which is repeated.
    recursion: bool,
    /// The question as it stands in the message: name, type, class.
    section: Vec<u8>,
    /// The name with dots between its labels. What is no letter, digit, `-` or `_` stands as a `?`, which no rule matches.
    pub name: String,
    /// What is asked.
    pub kind: Kind,
}

impl Question {
    /// Reads a message.
    ///
    /// # Errors
    /// The whole answer, where one can be given; an empty one is to be passed over.
    pub fn read(message: &[u8]) -> Result<Self, Vec<u8>> {
        let Some((header, rest)) = message.split_at_checked(HEADER) else { return Err(Vec::new()) };
        let byte = |at: usize| header.get(at).copied().unwrap_or_default();
        let id = [byte(0), byte(1)];
        if byte(2) & 0x80 != 0 {
            // An answer, which nobody asked for.
            return Err(Vec::new());
        }
        let recursion = byte(2) & 1 != 0;
        let failed = |outcome| Err(reply(id, recursion, outcome, &[], &[]));
        if byte(2) & 0x78 != 0 {
            return failed(Outcome::NotImplemented);
        }
        if [byte(4), byte(5)] != [0, 1] {
            return failed(Outcome::Malformed);
        }
        let Some((name, length)) = read_name(rest) else { return failed(Outcome::Malformed) };
        let (Some(kind), Some(class), Some(section)) =
            (word(rest, length), word(rest, length + 2), rest.get(..length + 4))
        else {
            return failed(Outcome::Malformed);
        };
        if class != INTERNET {
            return failed(Outcome::Refused);
        }
        let kind = match kind {
            1 => Kind::A,
            28 => Kind::Aaaa,
            64 | 65 => Kind::Service,
            other => Kind::Other(other),
        };
        Ok(Self { id, recursion, section: section.to_vec(), name, kind })
    }

    /// The answer to it: `addresses` that are of the kind asked.
    pub fn answer(&self, outcome: Outcome, addresses: &[IpAddr]) -> Vec<u8> {
        reply(self.id, self.recursion, outcome, &self.section, addresses)
    }
}

fn reply(id: [u8; 2], recursion: bool, outcome: Outcome, section: &[u8], addresses: &[IpAddr]) -> Vec<u8> {
    // Answer, recursion as asked; recursion available.
    let flags = [0x80 | u8::from(recursion), 0x80 | outcome as u8];
    let count = u16::try_from(addresses.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut bytes = Vec::with_capacity(HEADER + section.len() + addresses.len() * 28);
    bytes.extend(id);
    bytes.extend(flags);
    bytes.extend(u16::from(!section.is_empty()).to_be_bytes());
    bytes.extend(count);
    bytes.extend([0; 4]);
    bytes.extend(section);
    for address in addresses {
        // The name is the question's, which follows the header.
        bytes.extend([0xc0, 0x0c]);
        let (kind, octets): (u16, Vec<u8>) = match address {
            IpAddr::V4(address) => (1, address.octets().to_vec()),
            IpAddr::V6(address) => (28, address.octets().to_vec()),
        };
        bytes.extend(kind.to_be_bytes());
        bytes.extend(INTERNET.to_be_bytes());
        bytes.extend(TIME_TO_LIVE.to_be_bytes());
        bytes.extend(u16::try_from(octets.len()).unwrap_or_default().to_be_bytes());
        bytes.extend(octets);
    }
    bytes
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// The name at the start of `bytes`, and how long it is there.
fn read_name(bytes: &[u8]) -> Option<(String, usize)> {
    let (mut name, mut at) = (String::new(), 0);
    loop {
        let length = *bytes.get(at)?;
        at += 1;
        if length == 0 {
            return Some((name, at));
        }
        // Above that it is a pointer (RFC 1035, 4.1.4), which a question has no use for.
        if length > LONGEST_LABEL {
            return None;
        }
        let label = bytes.get(at..at + usize::from(length))?;
        at += usize::from(length);
        if at >= LONGEST_NAME {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        let fine = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'_';
        name.extend(label.iter().map(|byte| if fine(byte) { char::from(*byte) } else { '?' }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &[&[u8]], kind: u16) -> Vec<u8> {
        let mut bytes = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name {
            bytes.push(u8::try_from(label.len()).unwrap());
            bytes.extend(*label);
        }
        bytes.push(0);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        bytes
    }

    #[test]
    fn a_question_is_read_and_answered() {
        let read = Question::read(&question(&[b"API", b"example"], 1)).unwrap();
        assert_eq!((read.name.as_str(), read.kind), ("API.example", Kind::A));
        let answer = read.answer(Outcome::Fine, &["198.18.0.1".parse().unwrap()]);
        assert_eq!(answer[..8], [7, 9, 0x81, 0x80, 0, 1, 0, 1]);
        assert_eq!(answer[answer.len() - 4..], [198, 18, 0, 1]);
    }

    #[test]
    fn what_is_broken_is_answered_as_broken_or_passed_over() {
        assert!(Question::read(&[]).unwrap_err().is_empty());
        assert!(Question::read(&[0; 11]).unwrap_err().is_empty());
        let mut answer = question(&[b"a"], 1);
        answer[2] |= 0x80;
        assert!(Question::read(&answer).unwrap_err().is_empty());
        let whole = question(&[b"a", b"b"], 1);
        for length in HEADER..whole.len() {
            assert_eq!(Question::read(&whole[..length]).unwrap_err()[3] & 15, 1, "{length}");
        }
        let mut pointer = question(&[], 1);
        pointer[12] = 0xc0;
        assert_eq!(Question::read(&pointer).unwrap_err()[3] & 15, 1);
        let mut two = whole.clone();
        two[5] = 2;
        assert_eq!(Question::read(&two).unwrap_err()[3] & 15, 1);
        let mut chaos = whole;
        *chaos.last_mut().unwrap() = 3;
        assert_eq!(Question::read(&chaos).unwrap_err()[3] & 15, 5);
    }

    #[test]
    fn bytes_that_no_name_has_match_no_rule() {
        let read = Question::read(&question(&[b"evil\0", b"ok.com"], 16)).unwrap();
        assert_eq!((read.name.as_str(), read.kind), ("evil?.ok?com", Kind::Other(16)));
        let long: Vec<&[u8]> = vec![&[b'a'; 63]; 4];
        assert_eq!(Question::read(&question(&long, 1)).unwrap_err()[3] & 15, 1, "256 bytes");
    }
}
