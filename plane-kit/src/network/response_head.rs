//! The head of an answer (RFC 9112): just so much of it is read as is needed to say that the connection ends with it.

use super::head_end;

/// Longest head that is changed, in bytes; a longer one goes through as it is.
pub(super) const LONGEST: usize = 64 << 10;
/// What every answer begins with.
const START: &[u8] = b"HTTP/1.";
/// Fields about the connection.
const OF_THE_CONNECTION: [&[u8]; 3] = [b"connection", b"keep-alive", b"proxy-connection"];

/// What came of a host.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A head that another follows (RFC 9110, 15.2).
    Interim,
    /// The head of the answer itself, as the run gets it.
    Final(Vec<u8>),
    /// No answer of HTTP that could be read.
    Other,
}

/// What has come so far, and how many bytes of it that is; none while more is needed.
pub(super) fn read(bytes: &[u8]) -> Option<(Answer, usize)> {
    let common = START.len().min(bytes.len());
    if bytes.get(..common) != START.get(..common) {
        return Some((Answer::Other, bytes.len()));
    }
    match head_end::of(bytes) {
        Some(length) if length <= LONGEST => {
            let head = bytes.get(..length).unwrap_or_default();
            Some((if is_interim(head) { Answer::Interim } else { Answer::Final(closing(head)) }, length))
        }
        None if bytes.len() <= LONGEST => None,
        _ => Some((Answer::Other, bytes.len())),
    }
}

/// Whether the status is one of those before the answer. The one that changes the protocol is the last of HTTP.
fn is_interim(head: &[u8]) -> bool {
    let status = head.get(START.len() + 1..START.len() + 5);
    matches!(status, Some([b' ', b'1', tens, ones]) if (*tens, *ones) != (b'0', b'1'))
}

/// The head with a word that the connection ends, in place of others about it.
fn closing(head: &[u8]) -> Vec<u8> {
    let mut lines = head.split_inclusive(|byte| *byte == b'\n');
    let mut closing = lines.next().unwrap_or_default().to_vec();
    closing.extend(b"Connection: close\r\n");
    let mut left_out = false;
    for line in lines {
        // A line that begins with white space belongs to the one before it.
        if !matches!(line.first(), Some(b' ' | b'\t')) {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii_end();
            left_out = OF_THE_CONNECTION.iter().any(|known| known.eq_ignore_ascii_case(name));
        }
        if !left_out {
            closing.extend(line);
        }
    }
    closing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_ends_whatever_the_host_says() {
        let head = "HTTP/1.1 200 OK\r\nA: b\r\nConnection: keep-alive,\r\n x\r\nkeep-alive: 5\r\nC: d\r\n\r\n";
        let expected = "HTTP/1.1 200 OK\r\nConnection: close\r\nA: b\r\nC: d\r\n\r\n";
        for length in 0..head.len() {
            assert_eq!(read(&head.as_bytes()[..length]), None, "{length}");
        }
        let whole = Some((Answer::Final(expected.as_bytes().to_vec()), head.len()));
        assert_eq!(read(format!("{head}body").as_bytes()), whole);
    }

    #[test]
    fn what_comes_before_it_and_what_is_none() {
        assert_eq!(read(b"HTTP/1.1 100 Continue\r\n\r\nHTTP"), Some((Answer::Interim, 25)));
        assert!(matches!(read(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), Some((Answer::Final(_), _))));
        assert_eq!(read(b"SSH-2.0-x\r\n"), Some((Answer::Other, 11)));
        assert_eq!(read(b""), None);
        let long = [START, &vec![b'a'; LONGEST]].concat();
        assert_eq!(read(&long), Some((Answer::Other, long.len())));
    }
}
