//! What goes between the two ends of TLS: requests as far as rules let them, and answers as they come.

use super::super::carry::{both, of_writing, reset};
use super::super::http::{Refusal, Requests, bring_back, hand_on};
use super::super::traffic::Meter;
use std::sync::atomic::AtomicBool;
use tokio::io::{AsyncWriteExt, split};
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
    let (moved, last) = (AtomicBool::new(false), AtomicBool::new(requests.has_last()));
    let outcome = {
        let ((mut from_run, mut to_run), (mut from_host, mut to_host)) = (split(&mut inner), split(&mut outer));
        let (seen, buffer) = ((meter, &moved, &last), || vec![0; BUFFER]);
        let out = async {
            to_host.write_all(first).await.map_err(of_writing)?;
            meter.sent(first.len());
            if let Some(refusal) = hand_on(&mut from_run, &mut to_host, &mut requests, seen, buffer()).await? {
                refused(refusal);
            }
            to_host.shutdown().await.map_err(of_writing)
        };
        both(out, bring_back(&mut from_host, &mut to_run, seen, buffer()), &moved, stop).await
    };
    if outcome.is_err() {
        reset(outer.into_inner().0);
        // At its end rather than broken: what was carried already is to arrive.
        drop(inner);
    }
}
