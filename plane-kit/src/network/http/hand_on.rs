//! Requests on their way out: one after another to where they were asked for, as far as rules let them; and their answers.
//!
//! The last request says to the host that the connection ends, and its answer says so to the program, which would send the next
//! one on a connection that is going away. Where that answer begins no count of answers tells: a program that waits for each has had
//! all others when it sends the last. One that does not gets what comes as it comes.

use super::super::carry::{of_writing, takes_no_more};
use super::super::head_end::HeadEnd;
use super::super::response_head::{self, Answer};
use super::super::traffic::Meter;
use super::requests::{Refusal, Requests};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Hands `requests` on until `from` has ended its side, or one is refused: that. Of what was taken before something may be
/// handed on already. What comes after the last, or after the host reads no more, is for nobody.
///
/// # Errors
/// What either side met.
pub(in super::super) async fn hand_on(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    requests: &mut Requests,
    (meter, moved, last): (&Meter, &AtomicBool, &AtomicBool),
    mut buffer: Vec<u8>,
) -> io::Result<Option<Refusal>> {
    let (mut passed, mut count, mut reads_no_more) = (Vec::new(), 0, false);
    loop {
        // With nothing at first: what came with the first request is told of again.
        let taken = requests.take(buffer.get(..count).unwrap_or_default(), &mut passed);
        last.store(requests.has_last(), Ordering::Relaxed);
        if !reads_no_more {
            match give(to, &passed).await.map_err(of_writing) {
                Err(error) if takes_no_more(&error) => reads_no_more = true,
                done => done?,
            }
            meter.sent(passed.len());
        }
        moved.store(true, Ordering::Relaxed);
        passed.clear();
        if let Err(refusal) = taken {
            return Ok(Some(refusal));
        }
        count = match from.read(&mut buffer).await {
            Ok(0) => return Ok(None),
            Ok(count) => count,
            // Many programs end without saying so in TLS; between two requests nothing is lost by it.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && requests.is_whole() => return Ok(None),
            Err(error) => return Err(error),
        };
    }
}

/// Brings what comes of the host back, to its end. Once `last` says so, the next answer says that the connection ends.
///
/// # Errors
/// What either side met. An end that TLS does not tell is one: what was cut short is not to look whole.
pub(in super::super) async fn bring_back(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    (meter, moved, last): (&Meter, &AtomicBool, &AtomicBool),
    mut buffer: Vec<u8>,
) -> io::Result<()> {
    let (mut pending, mut is_told) = (Vec::new(), false);
    let mut end = HeadEnd::new(response_head::LONGEST);
    while let count @ 1.. = from.read(&mut buffer).await? {
        let bytes = buffer.get(..count).unwrap_or_default();
        meter.received(count);
        moved.store(true, Ordering::Relaxed);
        if is_told || !last.load(Ordering::Relaxed) {
            give(to, bytes).await?;
            continue;
        }
        pending.extend_from_slice(bytes);
        while !is_told
            && let Some((answer, length)) = end.is_due(&pending).then(|| response_head::read(&pending)).flatten()
        {
            let head: Vec<u8> = pending.drain(..length.min(pending.len())).collect();
            is_told = !matches!(answer, Answer::Interim);
            let head = if let Answer::Final(closing) = answer { closing } else { head };
            give(to, &head).await?;
            end = HeadEnd::new(response_head::LONGEST);
        }
        if is_told {
            give(to, &pending).await?;
            pending = Vec::new();
        }
    }
    give(to, &pending).await?;
    to.shutdown().await
}

/// Writes all of `bytes`, and lets them go.
async fn give(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_bridge::network_rules::HttpRules;
    use cofferdam_bridge::profile::{HttpRule, NetworkProfile};
    use cofferdam_bridge::verdict::RuleRef;
    use tokio::io::duplex;

    fn requests() -> Requests {
        let mut profile = NetworkProfile::default();
        profile.http.push(HttpRule::new(Vec::new(), "a.test", 80, "/", RuleRef::new("t", None, "t")));
        Requests::new("a.test", 80, HttpRules::new(&profile).of("a.test", 80).unwrap())
    }

    /// What a program gets of `answers`, which come in parts of `step`, after its last request.
    async fn brought(answers: &str, step: usize) -> String {
        let (meter, moved, last) = (Meter::default(), AtomicBool::new(false), AtomicBool::new(true));
        let ((mut host, mut from), (mut to, mut program)) = (duplex(step), duplex(1 << 20));
        let mut got = String::new();
        let sending = async {
            host.write_all(answers.as_bytes()).await.unwrap();
            drop(host);
        };
        let bringing = bring_back(&mut from, &mut to, (&meter, &moved, &last), vec![0; 4096]);
        let ((), outcome) = tokio::join!(sending, bringing);
        outcome.unwrap();
        drop(to);
        program.read_to_string(&mut got).await.unwrap();
        got
    }

    #[tokio::test]
    async fn the_last_answer_says_that_the_connection_ends_however_it_comes() {
        let interim = "HTTP/1.1 100 Continue\r\n\r\n";
        let body = "A: b\r\nContent-Length: 4\r\n\r\nfine";
        for step in [1, 3, 7, 4096] {
            for before in ["", interim] {
                let got = brought(&format!("{before}HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n{body}"), step).await;
                assert_eq!(got, format!("{before}HTTP/1.1 200 OK\r\nConnection: close\r\n{body}"), "{step}");
            }
            for other in ["", "SSH-2.0-x\r\nand more", "HTTP/1.1 200", "HTTP/1.1 100 Continue\r\n\r\n"] {
                assert_eq!(brought(other, step).await, other, "{step}");
            }
        }
    }

    #[tokio::test]
    async fn who_reads_no_more_may_have_answered_and_what_is_sent_on_is_for_nobody() {
        let (meter, moved, last) = (Meter::default(), AtomicBool::new(false), AtomicBool::new(false));
        let ((mut program, mut from), (mut to, host)) = (duplex(4096), duplex(4096));
        drop(host);
        let sending = async {
            let head = b"PUT /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\n";
            program.write_all(head).await.unwrap();
            program.write_all(&vec![b'x'; 100_000]).await.unwrap();
            drop(program);
        };
        let mut requests = requests();
        let handing = hand_on(&mut from, &mut to, &mut requests, (&meter, &moved, &last), vec![0; 4096]);
        let ((), outcome) = tokio::join!(sending, handing);
        assert!(outcome.unwrap().is_none() && last.load(Ordering::Relaxed));
    }
}
