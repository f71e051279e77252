//! A connection whose requests are read, between a run and a host.

use super::super::carry::{back, both, reset, write_all};
use super::super::gate::{Gate, Target};
use super::super::traffic::Meter;
use super::requests::{Refusal, Requests};
use nix::sys::socket::{Shutdown, shutdown};
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

/// A direction's buffer, in bytes.
const BUFFER: usize = 64 << 10;
/// How long the first request may take.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How long, and how much, is still taken of what was refused, so that its answer arrives.
const LAST_WORDS: (Duration, usize) = (Duration::from_secs(2), 1 << 20);

/// How a connection begins.
#[derive(Debug)]
enum First {
    /// These bytes may be handed on.
    Passed(Vec<u8>),
    /// Nothing may.
    Refused(Refusal),
    /// It ended before there was a request.
    Ended,
}

/// Reads until something of `requests` may be handed on, or is refused.
///
async fn first(stream: &TcpStream, requests: &mut Requests) -> io::Result<First> {
    let reading = async {
        let (mut buffer, mut passed) = (vec![0; BUFFER], Vec::new());
        loop {
            let count = read(stream, &mut buffer).await?;
            if count == 0 {
                return Ok(First::Ended);
            }
            let taken = requests.take(buffer.get(..count).unwrap_or_default(), &mut passed);
            match taken {
                Err(refusal) if passed.is_empty() => return Ok(First::Refused(refusal)),
                // A second request is refused: that is told again when the rest is read, and nothing of it was handed on.
                _ if !passed.is_empty() => return Ok(First::Passed(passed)),
                _ => {}
            }
        }
    };
    timeout(LONGEST_WAIT, reading).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Carries bytes as `carry` does, reading `requests` on the way out. One that is refused ends that way, and is
/// handed to `refused`.
async fn carry_requests(
    (inner, outer): (TcpStream, TcpStream),
    mut requests: Requests,
    meter: &Meter,
    stop: watch::Receiver<bool>,
    refused: impl FnOnce(Refusal),
) {
    let _ = (inner.set_nodelay(true), outer.set_nodelay(true));
    let moved = AtomicBool::new(false);
    let out = async {
        let (mut buffer, mut passed) = (vec![0; BUFFER], Vec::new());
        // What came with the first request and is not handed on yet.
        let mut count = 0;
        loop {
            let taken = requests.take(buffer.get(..count).unwrap_or_default(), &mut passed);
            write_all(&outer, &passed).await?;
            meter.sent(passed.len());
            moved.store(true, Ordering::Relaxed);
            passed.clear();
            if let Err(refusal) = taken {
                refused(refusal);
                break;
            }
            count = read(&inner, &mut buffer).await?;
            if count == 0 {
                break;
            }
        }
        match shutdown(outer.as_raw_fd(), Shutdown::Write) {
            Ok(()) | Err(nix::errno::Errno::ENOTCONN) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    };
    if both(out, back(&outer, &inner, meter, &moved), &moved, stop).await.is_err() {
        reset(inner);
        reset(outer);
    }
}

/// Carries `stream`, whose run asked for `target` and may have it, as far as `requests` lets it. `program`: who asked.
pub async fn pass(
    gate: &Gate,
    target: &Target,
    stream: TcpStream,
    mut requests: Requests,
    program: impl Fn() -> Option<String>,
    stop: watch::Receiver<bool>,
) {
    let meter = gate.meter(target);
    let first = match first(&stream, &mut requests).await {
        Ok(First::Passed(bytes)) => bytes,
        Ok(First::Refused(refusal)) => {
            gate.refuse_request(target, &refusal, program);
            meter.failed();
            return refuse(stream, &refusal).await;
        }
        _ => return reset(stream),
    };
    let Ok(outer) = gate.dial(target, &program).await else {
        meter.failed();
        return reset(stream);
    };
    meter.connected();
    if write_all(&outer, &first).await.is_err() {
        reset(outer);
        return reset(stream);
    }
    meter.sent(first.len());
    let refused = |refusal| gate.refuse_request(target, &refusal, &program);
    carry_requests((stream, outer), requests, &meter, stop, refused).await;
}

/// Tells the program that its first request is refused, in HTTP, and ends the connection.
async fn refuse(stream: TcpStream, refusal: &Refusal) {
    let (status, why) = match refusal {
        Refusal::NotAllowed { .. } => ("403 Forbidden", "no rule of the sandbox's policy allows this request"),
        Refusal::Unreadable(why) => ("400 Bad Request", *why),
    };
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{why}\n",
        why.len() + 1
    );
    if write_all(&stream, text.as_bytes()).await.is_err() {
        return;
    }
    let _ = shutdown(stream.as_raw_fd(), Shutdown::Write);
    // Closed with something unread it would be reset, which can overtake the answer.
    let (longest, most) = LAST_WORDS;
    let rest = async {
        let (mut buffer, mut seen) = (vec![0; BUFFER], 0);
        while let Ok(count @ 1..) = read(&stream, &mut buffer).await {
            seen += count;
            if seen > most {
                return;
            }
        }
    };
    let _ = timeout(longest, rest).await;
}

async fn read(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            outcome => return outcome,
        }
    }
}
