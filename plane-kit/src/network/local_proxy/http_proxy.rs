//! HTTP of a run's proxy (RFC 9110, 7.6 and 9.3.6): a way to a host, or one request to it.

use super::super::carry::reset;
use super::super::head_end::HeadEnd;
use super::anteroom::{Left, Place};
use super::authority::Authority;
use super::forward::{self, Refused};
use super::http_head::{self, Beginning};
use super::reading::take;
use super::serve::Serving;
use super::tunnel::{self, Answer};
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// What a run is told that asks for what is no host.
const NO_HOST: &str = "this is no name of a host, and no address as it is usually written";
/// That it does not say who it is, and how it is to.
const CHALLENGE: &str = "Proxy-Authenticate: Basic realm=\"cofferdam\"\r\n";

/// Serves one connection.
pub(super) async fn serve(serving: Serving, stream: TcpStream, peer: SocketAddr, mut place: Place) {
    let mut end = HeadEnd::new(http_head::LONGEST_HEAD);
    let head = take(&stream, |bytes| match end.is_due(bytes).then(|| http_head::read(bytes))? {
        Beginning::Unfinished => None,
        Beginning::Broken(fault) => Some((Err(fault), bytes.len())),
        Beginning::Whole(head, length) => Some((Ok(head), length)),
    });
    let head = match place.until(head).await {
        Ok(Ok((Some(Ok(head)), _))) => head,
        Ok(Ok((Some(Err(fault)), _))) => return serving.last_words(stream, &page(fault.status, "", fault.why)).await,
        Ok(_) | Err(Left::ForOthers) => return reset(stream),
        Err(Left::Late) => return serving.last_words(stream, &page(408, "", "the request took too long")).await,
    };
    // Before anything is told of what was asked for: it may be that no program of the run asks.
    if !head.authorization().is_some_and(|value| serving.credential.is_basic(value)) {
        let why = "the proxy of a sandbox serves its own programs alone: its address, with name and password, is in HTTPS_PROXY";
        return serving.last_words(stream, &page(407, CHALLENGE, why)).await;
    }
    let Some(_seat) = serving.seat(place).await else { return reset(stream) };
    let authority = match head.authority() {
        Ok(authority) => authority.clone(),
        Err(host) => {
            serving.gate.refuse_spelling(host, || serving.asker.program(peer));
            return serving.last_words(stream, &page(400, "", NO_HOST)).await;
        }
    };
    let say = |answer| said(answer, &authority);
    let Some(asked) = head.into_asked() else {
        return tunnel::open(serving, &authority, stream, peer, say).await;
    };
    let (target, connection) = match tunnel::wanted(&serving, &authority, peer).await {
        Ok(wanted) => wanted,
        Err(answer) => return serving.last_words(stream, &say(answer)).await,
    };
    match forward::dialled(&serving, &asked, &target, connection, peer).await {
        Ok(outer) => forward::request(serving, &asked, stream, outer, &target).await,
        Err(refused) => {
            serving.gate.meter(&target).failed();
            let words = match refused {
                Refused::Way(answer) => say(answer),
                Refused::Request(answer) => answer.into_bytes(),
            };
            serving.last_words(stream, &words).await;
        }
    }
}

fn said(answer: Answer, authority: &Authority) -> Vec<u8> {
    let host = &authority.text;
    match answer {
        Answer::Open => b"HTTP/1.1 200 Connection established\r\n\r\n".to_vec(),
        Answer::Refused => page(403, "", &format!("network.connect of {host}: the policy does not allow it")),
        Answer::Unresolved => page(502, "", &format!("{host}: the name leads nowhere")),
        Answer::Unreachable => page(502, "", &format!("{host} does not answer")),
    }
}

/// An answer of the proxy's own. Whoever shows it to a person shows where it is from.
fn page(status: u16, fields: &str, why: &str) -> Vec<u8> {
    let reason = match status {
        403 => "Forbidden by policy",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        431 => "Request Header Fields Too Large",
        502 => "Bad Gateway",
        505 => "HTTP Version Not Supported",
        _ => "Bad Request",
    };
    let text = format!("cofferdam: {why}\n");
    let length = text.len();
    format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n{fields}Connection: close\r\n\r\n{text}"
    )
    .into_bytes()
}
