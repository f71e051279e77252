//! SOCKS5 of a run's proxy (RFC 1928): connections by name or address, and nothing else.

use super::super::carry::{reset, write_all};
use super::anteroom::Place;
use super::authority::{Authority, NoAuthority};
use super::reading::take;
use super::serve::{LONGEST_WAIT, Serving};
use super::socks_message::{self, Read, VERSION, Wish};
use super::tunnel::{self, Answer};
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// None of the ways in which a client can show who it is will do (RFC 1928, 3).
const NO_WAY: [u8; 2] = [VERSION, 0xff];
/// Name and password, please.
const BY_PASSWORD: [u8; 2] = [VERSION, 2];
/// The password is right, or not (RFC 1929, 2).
const RIGHT: [u8; 2] = [1, 0];
const WRONG: [u8; 2] = [1, 1];

/// What a client is told (RFC 1928, 6).
const NOT_ALLOWED: u8 = 2;
const NO_SUCH_COMMAND: u8 = 7;
const NO_SUCH_ADDRESS: u8 = 8;

/// Serves one connection.
pub(super) async fn serve(serving: Serving, stream: TcpStream, peer: SocketAddr, mut place: Place) {
    let Ok(Ok(shown)) = place.until(shown(&serving, &stream)).await else { return reset(stream) };
    if let Err(words) = shown {
        return serving.last_words(stream, words).await;
    }
    let Some(_seat) = serving.seat(place).await else { return reset(stream) };
    let Ok(Ok(wish)) = timeout(LONGEST_WAIT, asked(&stream)).await else { return reset(stream) };
    let (host, port) = match wish {
        Wish::Connect { host, port } => (host, port),
        Wish::Other => return serving.last_words(stream, &reply(NO_SUCH_COMMAND)).await,
        Wish::NoAddress => return serving.last_words(stream, &reply(NO_SUCH_ADDRESS)).await,
    };
    match Authority::of(&host, port) {
        Ok(authority) => tunnel::open(serving, &authority, stream, peer, |answer| reply(code(answer))).await,
        Err(error) => {
            if error == NoAuthority::NoHost {
                serving.gate.refuse_spelling(&host, || serving.asker.program(peer));
            }
            serving.last_words(stream, &reply(NOT_ALLOWED)).await;
        }
    }
}

/// Whether the client shows that it is the run's own; or what it is told before the connection ends.
async fn shown(serving: &Serving, stream: &TcpStream) -> io::Result<Result<(), &'static [u8]>> {
    if !message(stream, socks_message::greeting).await? {
        return Ok(Err(&NO_WAY));
    }
    write_all(stream, &BY_PASSWORD).await?;
    let (name, password) = message(stream, socks_message::password).await?;
    if !serving.credential.is(&name, &password) {
        return Ok(Err(&WRONG));
    }
    Ok(Ok(()))
}

/// Tells the client that it is known, and takes what it asks for.
async fn asked(stream: &TcpStream) -> io::Result<Wish> {
    write_all(stream, &RIGHT).await?;
    message(stream, socks_message::wish).await
}

/// Takes one message.
async fn message<T>(stream: &TcpStream, read: impl Fn(&[u8]) -> Read<T>) -> io::Result<T> {
    let found = take(stream, |bytes| match read(bytes) {
        Read::Unfinished => None,
        Read::Malformed => Some((None, bytes.len())),
        Read::Whole(message, length) => Some((Some(message), length)),
    });
    found.await?.0.flatten().ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn code(answer: Answer) -> u8 {
    match answer {
        Answer::Open => 0,
        Answer::Refused => NOT_ALLOWED,
        Answer::Unresolved => 4,
        Answer::Unreachable => 5,
    }
}

/// An answer; from which address the host sees the run is nobody's business.
fn reply(code: u8) -> Vec<u8> {
    vec![VERSION, code, 0, 1, 0, 0, 0, 0, 0, 0]
}
