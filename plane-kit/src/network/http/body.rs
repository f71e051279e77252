//! Where the body of a request ends.

/// Longest number of a chunk, in digits of base 16.
const LONGEST_SIZE: usize = 15;

/// What of a body is still to come.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Body {
    /// Nothing.
    #[default]
    Ended,
    /// So many bytes.
    Length(u64),
    /// Chunks (RFC 9112, 7.1), without extensions and trailers, which servers read differently: where in one it stands.
    Chunks(Chunk),
}

/// A place in a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// In its size, after so many digits.
    Size { size: u64, digits: usize },
    /// After the size and the first character of the line's end.
    SizeEnd { size: u64 },
    /// In its bytes.
    Data { left: u64 },
    /// Before the end of its bytes, and after the first character of that.
    DataEnd { second: bool },
    /// After the last chunk, likewise.
    LastEnd { second: bool },
}

impl Body {
    /// One of `length` bytes.
    pub(super) fn of_length(length: u64) -> Self {
        if length == 0 { Self::Ended } else { Self::Length(length) }
    }

    /// One in chunks.
    pub(super) fn chunked() -> Self {
        Self::Chunks(Chunk::Size { size: 0, digits: 0 })
    }

    /// How many of `bytes` belong to it.
    ///
    /// # Errors
    /// Why it cannot be told.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, &'static str> {
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            match self {
                Self::Ended => break,
                Self::Length(left) => {
                    let count = count(*left, rest);
                    taken += count;
                    *self = Self::of_length(left.saturating_sub(count as u64));
                }
                Self::Chunks(Chunk::Data { left }) => {
                    let count = count(*left, rest);
                    taken += count;
                    let left = left.saturating_sub(count as u64);
                    *self =
                        Self::Chunks(if left == 0 { Chunk::DataEnd { second: false } } else { Chunk::Data { left } });
                }
                Self::Chunks(chunk) => {
                    let byte = rest.first().copied().unwrap_or_default();
                    *self = chunk.next(byte).ok_or("its chunks are not written as every server reads them")?;
                    taken += 1;
                }
            }
        }
        Ok(taken)
    }
}

impl Chunk {
    /// Where the body stands after `byte`.
    fn next(self, byte: u8) -> Option<Body> {
        let next = match (self, byte) {
            (Self::Size { size, digits }, byte) if byte.is_ascii_hexdigit() && digits < LONGEST_SIZE => {
                let digit = char::from(byte).to_digit(16)?;
                Self::Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
            }
            (Self::Size { size, digits: 1.. }, b'\r') => Self::SizeEnd { size },
            (Self::SizeEnd { size: 0 }, b'\n') => Self::LastEnd { second: false },
            (Self::SizeEnd { size }, b'\n') => Self::Data { left: size },
            (Self::DataEnd { second: false }, b'\r') => Self::DataEnd { second: true },
            (Self::DataEnd { second: true }, b'\n') => Self::Size { size: 0, digits: 0 },
            (Self::LastEnd { second: false }, b'\r') => Self::LastEnd { second: true },
            (Self::LastEnd { second: true }, b'\n') => return Some(Body::Ended),
            _ => return None,
        };
        Some(Body::Chunks(next))
    }
}

fn count(left: u64, bytes: &[u8]) -> usize {
    usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_ends_where_its_framing_says_however_it_comes() {
        let chunks = b"5\r\nhello\r\n00A\r\n0123456789\r\n0\r\n\r\nGET";
        for step in 1..chunks.len() {
            let mut body = Body::chunked();
            let mut taken = 0;
            for part in chunks.chunks(step) {
                let own = body.take(part).unwrap();
                taken += own;
                if own < part.len() {
                    break;
                }
            }
            assert_eq!((taken, &body), (chunks.len() - 3, &Body::Ended), "{step}");
        }
        let mut body = Body::of_length(5);
        assert_eq!(body.take(b"abc"), Ok(3));
        assert_eq!(body.take(b"defg"), Ok(2));
        assert_eq!(body.take(b"g"), Ok(0));
    }

    #[test]
    fn net_22_chunks_that_servers_read_differently_are_refused() {
        for text in [
            "\r\n",
            "5;x=y\r\n",
            "5 \r\n",
            "5\n",
            "0x5\r\n",
            "-1\r\n",
            "1\r\nab",
            "1\r\na\nb",
            "0\r\nX: y\r\n\r\n",
            "0\r\n\n",
        ] {
            assert!(Body::chunked().take(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(Body::chunked().take(b"1000000000000000\r\n").is_err());
    }
}
