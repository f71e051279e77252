//! A connection whose requests are read, between a run and a host.

use super::super::carry::{both, of_writing, reset, write_all};
use super::super::gate::{Gate, Target};
use super::super::traffic::Meter;
use super::begin::{end, first};
use super::hand_on::{bring_back, hand_on};
use super::requests::{Refusal, Requests};
use std::sync::atomic::AtomicBool;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// A direction's buffer, in bytes.
const BUFFER: usize = 64 << 10;

/// Carries bytes as `carry` does, reading `requests` on the way out. One that is refused ends that way, and is
/// handed to `refused`.
async fn carry_requests(
    (mut inner, mut outer): (TcpStream, TcpStream),
    mut requests: Requests,
    meter: &Meter,
    stop: watch::Receiver<bool>,
    refused: impl FnOnce(Refusal),
) {
    let _ = (inner.set_nodelay(true), outer.set_nodelay(true));
    let (moved, last) = (AtomicBool::new(false), AtomicBool::new(requests.has_last()));
    let outcome = {
        let ((mut from_run, mut to_run), (mut from_host, mut to_host)) = (inner.split(), outer.split());
        let (seen, buffer) = ((meter, &moved, &last), || vec![0; BUFFER]);
        let out = async {
            if let Some(refusal) = hand_on(&mut from_run, &mut to_host, &mut requests, seen, buffer()).await? {
                refused(refusal);
            }
            to_host.shutdown().await.map_err(of_writing)
        };
        both(out, bring_back(&mut from_host, &mut to_run, seen, buffer()), &moved, stop).await
    };
    if outcome.is_err() {
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
