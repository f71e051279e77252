//! The body of one request, and nothing after it (RFC 9112, 6 and 7).

use super::super::carry::write_all;
use super::http_head::Body;
use super::reading::read;
use std::io;
use tokio::net::TcpStream;

/// As much as is carried at once, in bytes.
const BUFFER: usize = 16 << 10;
/// Longest line with a chunk's size and whatever else is said of it, in bytes.
const LONGEST_SIZE: usize = 256;
/// As much as may follow the last chunk, in bytes.
const MOST_TRAILERS: usize = 8 << 10;
/// As many hexadecimal digits as a size may have, so that it cannot overflow.
const MOST_DIGITS: usize = 15;

/// Carries the body of one request; `strictly`: without what some servers read differently. `count` is told how much was handed on.
pub(super) async fn carry(
    from: &TcpStream,
    to: &TcpStream,
    body: Body,
    strictly: bool,
    count: impl Fn(usize),
) -> io::Result<()> {
    let mut end = End::of(body, strictly);
    let mut buffer = vec![0; BUFFER];
    while !end.is_reached() {
        // No more than the length says: what follows is not the host's.
        let room = end.room(buffer.len());
        let taken = read(from, buffer.get_mut(..room).unwrap_or_default()).await?;
        if taken == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let own = end.pass(buffer.get(..taken).unwrap_or_default())?;
        write_all(to, buffer.get(..own).unwrap_or_default()).await?;
        count(own);
    }
    Ok(())
}

/// Where a body ends.
#[derive(Debug)]
enum End {
    After(u64),
    Chunks(Chunks),
}

impl End {
    fn of(body: Body, strictly: bool) -> Self {
        match body {
            Body::Length(length) => Self::After(length),
            Body::Chunked => Self::Chunks(Chunks { strictly, ..Chunks::default() }),
        }
    }

    fn is_reached(&self) -> bool {
        match self {
            Self::After(left) => *left == 0,
            Self::Chunks(chunks) => chunks.at == At::End,
        }
    }

    fn room(&self, most: usize) -> usize {
        match self {
            Self::After(left) => usize::try_from(*left).map_or(most, |left| left.min(most)),
            Self::Chunks(_) => most,
        }
    }

    /// How many of these bytes, which came next, belong to the body.
    fn pass(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::After(left) => {
                *left = left.saturating_sub(bytes.len() as u64);
                Ok(bytes.len())
            }
            Self::Chunks(chunks) => chunks.pass(bytes).ok_or_else(|| io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Where in a body of chunks one is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Size,
    /// After the size, in what is said of the chunk.
    Extension,
    /// After the carriage return of that line.
    SizeEnd,
    Data,
    /// After the data, before its line end.
    DataEnd,
    DataFeed,
    /// At the beginning of a line after the last chunk.
    Trailer,
    InTrailer,
    TrailerFeed,
    /// After the carriage return of the empty line.
    LastFeed,
    End,
}

/// Follows a body of chunks, strictly: what two readers could take differently is none.
#[derive(Debug, Default)]
struct Chunks {
    at: At,
    size: u64,
    /// Bytes of the line, or after the last chunk.
    seen: usize,
    /// Nothing is said of a chunk, and nothing follows the last.
    strictly: bool,
}

impl Chunks {
    /// How many of `bytes` belong to the body; none where it is malformed.
    fn pass(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() && self.at != At::End {
            if self.at == At::Data {
                let left = usize::try_from(self.size).unwrap_or(usize::MAX).min(bytes.len() - at);
                self.size -= left as u64;
                at += left;
                if self.size == 0 {
                    self.at = At::DataEnd;
                }
                continue;
            }
            self.at = self.next(*bytes.get(at)?)?;
            at += 1;
        }
        Some(at)
    }

    fn next(&mut self, byte: u8) -> Option<At> {
        self.seen += 1;
        let visible = matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
        match (self.at, byte) {
            (At::Size, b';') | (At::Trailer, ..=b'\x0c' | b'\x0e'..) if self.strictly => None,
            (At::Size, _) if byte.is_ascii_hexdigit() && self.seen <= MOST_DIGITS => {
                self.size = self.size << 4 | u64::from(char::from(byte).to_digit(16)?);
                Some(At::Size)
            }
            (At::Size, b';') if self.seen > 1 => Some(At::Extension),
            (At::Size, b'\r') if self.seen > 1 => Some(At::SizeEnd),
            (At::Extension, b'\r') => Some(At::SizeEnd),
            (At::Extension, _) if visible && self.seen <= LONGEST_SIZE => Some(At::Extension),
            (At::SizeEnd, b'\n') => {
                self.seen = 0;
                Some(if self.size == 0 { At::Trailer } else { At::Data })
            }
            (At::DataEnd, b'\r') => Some(At::DataFeed),
            (At::DataFeed, b'\n') => {
                self.seen = 0;
                Some(At::Size)
            }
            (At::Trailer, b'\r') => Some(At::LastFeed),
            (At::Trailer | At::InTrailer, _) if visible && self.seen <= MOST_TRAILERS => Some(At::InTrailer),
            (At::InTrailer, b'\r') => Some(At::TrailerFeed),
            (At::TrailerFeed, b'\n') => Some(At::Trailer),
            (At::LastFeed, b'\n') => Some(At::End),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(text: &str) -> Option<usize> {
        let mut chunks = Chunks::default();
        let whole = chunks.pass(text.as_bytes());
        // However it is cut.
        let mut one_by_one = Chunks::default();
        let each = text.bytes().try_fold(0, |sum, byte| one_by_one.pass(&[byte]).map(|own| sum + own));
        assert_eq!((whole, chunks.at), (each, one_by_one.at), "{text:?}");
        whole.filter(|_| chunks.at == At::End)
    }

    #[test]
    fn a_body_of_chunks_ends_where_it_says() {
        for body in ["0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n", "00A;x=\"y\"\r\n0123456789\r\n0\r\nT: v\r\nU: w\r\n\r\n"] {
            assert_eq!(own(body), Some(body.len()), "{body:?}");
            assert_eq!(own(&format!("{body}GET http://evil/ HTTP/1.1\r\n")), Some(body.len()), "{body:?}");
        }
    }

    #[test]
    fn net_22_where_rules_are_about_requests_nothing_is_said_of_chunks_or_after_them() {
        let passes = |body: &str| {
            let mut chunks = Chunks { strictly: true, ..Chunks::default() };
            chunks.pass(body.as_bytes()) == Some(body.len()) && chunks.at == At::End
        };
        assert!(passes("3\r\nabc\r\n0\r\n\r\n") && passes("0\r\n\r\n"));
        for body in ["3;a=b\r\nabc\r\n0\r\n\r\n", "0\r\nX-HTTP-Method-Override: DELETE\r\n\r\n", "0;a\r\n\r\n"] {
            assert!(!passes(body), "{body:?}");
        }
    }

    #[test]
    fn net_22_a_body_of_chunks_that_could_be_read_otherwise_is_none() {
        for body in [
            "\r\n",
            ";x\r\n",
            " 3\r\nabc\r\n",
            "3 \r\nabc\r\n",
            "0x3\r\nabc\r\n",
            "-1\r\n",
            "3\nabc\r\n",
            "3;a\nb\r\nabc\r\n",
            "3\r\nabcd\r\n",
            "3\r\nabc\n",
            "0\r\n\n",
            "0\r\nT: v\n\r\n",
            "1000000000000000\r\n",
        ] {
            let mut chunks = Chunks::default();
            assert_eq!(chunks.pass(body.as_bytes()), None, "{body:?}");
        }
        let mut long = Chunks::default();
        assert_eq!(long.pass(format!("3;{}", "x".repeat(LONGEST_SIZE)).as_bytes()), None);
        let mut trailers = Chunks::default();
        assert_eq!(trailers.pass(format!("0\r\n{}", "T: v\r\n".repeat(MOST_TRAILERS)).as_bytes()), None);
    }
}
