//! One connection of a run to a target that was allowed: looked at where the policy wants it, dialled, carried.

use super::carry::{carry, reset, write_all};
use super::gate::{Gate, Target};
use super::http;
use super::https;
use super::inspect::{self, ACCESS_DENIED, First};
use super::traffic::Meter;
use cofferdam_bridge::profile::HttpScheme;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Carries `stream`, whose run asked for `target` and may have it, until it ends. `program`: who asked, found out only where it is told of.
pub async fn pass(
    gate: &Gate,
    target: &Target,
    stream: TcpStream,
    program: impl Fn() -> Option<String>,
    stop: watch::Receiver<bool>,
) {
    if let Some(requests) = gate.requests(target) {
        return match requests.scheme() {
            HttpScheme::Https => https::pass(gate, target, stream, requests, program, stop).await,
            _ => http::pass(gate, target, stream, requests, program, stop).await,
        };
    }
    let meter = gate.meter(target);
    let first = match gate.inspected(target) {
        Some((name, check)) => inspect::first(&stream, name, check).await,
        None => Ok(First::Passed(Vec::new())),
    };
    let first = match first {
        Ok(First::Passed(bytes)) => bytes,
        Ok(First::Refused { why, remedy, tls }) => {
            gate.refuse_for(target, &why, Some(remedy), program);
            meter.failed();
            return refuse(stream, tls).await;
        }
        _ => return reset(stream),
    };
    let Ok(outer) = gate.dial(target, program).await else {
        meter.failed();
        return reset(stream);
    };
    join(stream, outer, &first, &meter, stop).await;
}

/// Carries between `stream` and `outer`, which was dialled for it. `first` has been read of the stream already.
pub async fn join(stream: TcpStream, outer: TcpStream, first: &[u8], meter: &Meter, stop: watch::Receiver<bool>) {
    meter.connected();
    if write_all(&outer, first).await.is_err() {
        reset(outer);
        return reset(stream);
    }
    meter.sent(first.len());
    carry(stream, outer, meter, stop).await;
}

/// Says so in TLS where that is understood, and then breaks the connection.
async fn refuse(stream: TcpStream, tls: bool) {
    if tls && write_all(&stream, &ACCESS_DENIED).await.is_ok() {
        // At its end rather than broken: a reset could overtake the alert.
        return;
    }
    reset(stream);
}
