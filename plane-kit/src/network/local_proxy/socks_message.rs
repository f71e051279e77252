//! Messages of a client of SOCKS5 (RFC 1928), and its name and password (RFC 1929). Nothing of them is acted on but what is whole.

/// The version, which comes first.
pub const VERSION: u8 = 5;
/// The version of the negotiation of a password.
const PASSWORD_VERSION: u8 = 1;
/// By name and password.
const PASSWORD: u8 = 2;
/// A connection; not a port to listen on, and no datagrams.
const CONNECT: u8 = 1;

/// What was read of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Read<T> {
    /// More is needed.
    Unfinished,
    /// It is none.
    Malformed,
    /// It, and how many bytes it has.
    Whole(T, usize),
}

/// Whom a client wants to be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wish {
    /// A connection to `port` of `host`: a name, or an address as it is written.
    Connect {
        /// The name's very bytes, as far as they are text.
        host: String,
        /// The port.
        port: u16,
    },
    /// Something else than a connection.
    Other,
    /// An address of a kind that there is none of.
    NoAddress,
}

/// The bytes so far, and where they are read.
struct Bytes<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Bytes<'a> {
    fn new(all: &'a [u8]) -> Self {
        Self { all, at: 0 }
    }

    fn some(&mut self, count: usize) -> Option<&'a [u8]> {
        let some = self.all.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(some)
    }

    fn one(&mut self) -> Option<u8> {
        self.some(1)?.first().copied()
    }

    /// As many as the byte before them says.
    fn counted(&mut self) -> Option<&'a [u8]> {
        let count = self.one()?;
        self.some(usize::from(count))
    }

    fn array<const COUNT: usize>(&mut self) -> Option<[u8; COUNT]> {
        self.some(COUNT)?.try_into().ok()
    }
}

/// Reads by `read`, which answers none where there is too little.
fn whole<T>(all: &[u8], read: impl FnOnce(&mut Bytes<'_>) -> Option<Result<T, ()>>) -> Read<T> {
    let mut bytes = Bytes::new(all);
    match read(&mut bytes) {
        None => Read::Unfinished,
        Some(Err(())) => Read::Malformed,
        Some(Ok(read)) => Read::Whole(read, bytes.at),
    }
}

/// Reads the ways in which a client can show who it is: whether a password is one of them.
pub fn greeting(bytes: &[u8]) -> Read<bool> {
    whole(bytes, |bytes| {
        if bytes.one()? != VERSION {
            return Some(Err(()));
        }
        let ways = bytes.counted()?;
        Some(Ok(ways.contains(&PASSWORD)))
    })
}

/// Reads a name and a password.
pub fn password(bytes: &[u8]) -> Read<(Vec<u8>, Vec<u8>)> {
    whole(bytes, |bytes| {
        if bytes.one()? != PASSWORD_VERSION {
            return Some(Err(()));
        }
        let name = bytes.counted()?.to_vec();
        Some(Ok((name, bytes.counted()?.to_vec())))
    })
}

/// Reads what a client wants.
pub fn wish(bytes: &[u8]) -> Read<Wish> {
    whole(bytes, |bytes| {
        if bytes.one()? != VERSION {
            return Some(Err(()));
        }
        let command = bytes.one()?;
        if bytes.one()? != 0 {
            return Some(Err(()));
        }
        let host = match bytes.one()? {
            1 => std::net::Ipv4Addr::from(bytes.array::<4>()?).to_string(),
            4 => std::net::Ipv6Addr::from(bytes.array::<16>()?).to_string(),
            // What is no text is no name either, and is told as such.
            3 => String::from_utf8_lossy(bytes.counted()?).into_owned(),
            _ => return Some(Ok(Wish::NoAddress)),
        };
        let port = u16::from_be_bytes(bytes.array::<2>()?);
        Some(Ok(if command == CONNECT { Wish::Connect { host, port } } else { Wish::Other }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_byte_by_byte() {
        let wished = [&[5, 1, 0, 3, 6][..], b"ok.com", &[1, 187]].concat();
        for length in 0..wished.len() {
            assert_eq!(wish(&wished[..length]), Read::Unfinished, "{length}");
        }
        let connect = Wish::Connect { host: "ok.com".to_owned(), port: 443 };
        assert_eq!(wish(&[&wished[..], b"more"].concat()), Read::Whole(connect, wished.len()));
        assert_eq!(greeting(&[5, 2, 0, 2]), Read::Whole(true, 4));
        assert_eq!(greeting(&[5, 2, 0]), Read::Unfinished);
        assert_eq!(password(&[1, 1, b'u', 2, b'p', b'w']), Read::Whole((b"u".to_vec(), b"pw".to_vec()), 6));
    }

    #[test]
    fn net_15_net_17_addresses_and_odd_names_stay_what_they_are() {
        let host = |bytes: &[u8]| match wish(bytes) {
            Read::Whole(Wish::Connect { host, .. }, _) => host,
            other => panic!("{other:?}"),
        };
        assert_eq!(host(&[5, 1, 0, 1, 169, 254, 169, 254, 0, 80]), "169.254.169.254");
        assert_eq!(host(&[5, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80]), "::1");
        assert_eq!(host(&[&[5, 1, 0, 3, 11][..], b"evil\0ok.com", &[0, 80]].concat()), "evil\0ok.com");
        assert_eq!(host(&[5, 1, 0, 3, 0, 0, 80]), "");
        assert_eq!(host(&[&[5, 1, 0, 3, 255][..], &[b'a'; 255], &[0, 80]].concat()).len(), 255);
    }

    #[test]
    fn net_18_what_is_not_served_is_told_apart() {
        assert_eq!(greeting(&[4, 1, 0, 80, 0, 0, 0, 1, 0]), Read::Malformed);
        assert_eq!(greeting(&[5, 1, 0]), Read::Whole(false, 3));
        for command in [0, 2, 3, 255] {
            assert_eq!(wish(&[5, command, 0, 1, 1, 1, 1, 1, 0, 80]), Read::Whole(Wish::Other, 10));
        }
        assert_eq!(wish(&[5, 1, 0, 9]), Read::Whole(Wish::NoAddress, 4));
        assert_eq!(wish(&[5, 1, 7, 1, 1, 1, 1, 1, 0, 80]), Read::Malformed);
        assert_eq!(password(&[5, 1]), Read::Malformed);
    }
}
