//! What goes between the two ends of TLS: requests as far as rules let them, and answers as they come.

use super::super::carry::{both, reset};
use super::super::http::{Refusal, Requests, give, hand_on};
use super::super::traffic::Meter;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::{client, server};

/// A direction's buffer, in bytes: a record of TLS (RFC 8446, 5.1).
const BUFFER: usize = 16 << 10;

/// Carries until both directions have ended. `first` may be handed on already; a later request that may not ends its direction, and is
/// handed to `refused`.
pub(super) async fn carry(
    (mut inner, mut outer): (server::TlsStream<TcpStream>, client::TlsStream<TcpStream>),
    first: &[u8],
    mut requests: Requests,
    meter: &Meter,
    stop: watch::Receiver<bool>,
    refused: impl FnOnce(Refusal),
) {
    let _ = (inner.get_ref().0.set_nodelay(true), outer.get_ref().0.set_nodelay(true));
    let moved = AtomicBool::new(false);
    let outcome = {
        let ((mut from_run, mut to_run), (mut from_host, mut to_host)) = (split(&mut inner), split(&mut outer));
        let out = async {
            give(&mut to_host, first).await?;
            meter.sent(first.len());
            let buffer = vec![0; BUFFER];
            if let Some(refusal) = hand_on(&mut from_run, &mut to_host, &mut requests, (meter, &moved), buffer).await? {
                refused(refusal);
            }
            to_host.shutdown().await
        };
        let back = async {
            let mut buffer = vec![0; BUFFER];
            // An end that TLS does not tell is an error, and so is one inside, too: what was cut short is not to look whole.
            while let count @ 1.. = from_host.read(&mut buffer).await? {
                give(&mut to_run, buffer.get(..count).unwrap_or_default()).await?;
                meter.received(count);
                moved.store(true, Ordering::Relaxed);
            }
            to_run.shutdown().await
        };
        both(out, back, &moved, stop).await
    };
    if outcome.is_err() {
        reset(outer.into_inner().0);
        // At its end rather than broken: what was carried already is to arrive.
        drop(inner);
    }
}
