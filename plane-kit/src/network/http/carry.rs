//! A connection whose requests are read, between a run and a host.

use super::super::carry::{back, both, reset, write_all};
use super::super::gate::{Gate, Target};
use super::super::traffic::Meter;
use super::begin::{end, first};
use super::requests::{Refusal, Requests};
use nix::sys::socket::{Shutdown, shutdown};
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// A direction's buffer, in bytes.
const BUFFER: usize = 64 << 10;

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
    mut stream: TcpStream,
    mut requests: Requests,
    program: impl Fn() -> Option<String>,
    stop: watch::Receiver<bool>,
) {
    let meter = gate.meter(target);
    let first = match first(&mut stream, &mut requests).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(refusal)) => {
            gate.refuse_request(target, &refusal, program);
            meter.failed();
            return end(stream, &answer_to(&refusal, &gate.told_of_request(target, &refusal))).await;
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

/// What a program is answered whose request is refused, with `why`.
pub(in super::super) fn answer_to(refusal: &Refusal, why: &str) -> String {
    match refusal {
        Refusal::NotAllowed { .. } => answer("403 Forbidden", why),
        Refusal::Unreadable(_) => answer("400 Bad Request", why),
    }
}

/// An answer in the place of the host's, after which the connection ends.
pub(in super::super) fn answer(status: &str, why: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{why}\n",
        why.len() + 1
    )
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
