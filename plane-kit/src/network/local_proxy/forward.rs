//! One request to one host, and its answer. The connection ends with it: the next request may be for another host, and is decided anew.

use super::super::carry::{Way, both, end_writing, one_way, reset, write_all};
use super::super::gate::Target;
use super::super::head_end::HeadEnd;
use super::super::http::{Refusal, answer_to};
use super::super::response_head::{self, Answer};
use super::super::traffic::Meter;
use super::body;
use super::http_head::Asked;
use super::reading::{read, take};
use super::serve::Serving;
use super::tunnel::Answer as Answered;
use cofferdam_bridge::profile::HttpScheme;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// Why a request goes nowhere.
pub(super) enum Refused {
    /// As a way to its host would not be open.
    Way(Answered),
    /// What its program is answered, since rules are about requests to that host.
    Request(String),
}

/// The connection for `asked` to `target`, unless the policy is against just this request; `connection`: the one that is there already.
pub(super) async fn dialled(
    serving: &Serving,
    asked: &Asked,
    target: &Target,
    connection: Option<TcpStream>,
    peer: SocketAddr,
) -> Result<TcpStream, Refused> {
    if let Some(outer) = connection {
        return Ok(outer);
    }
    let (gate, program) = (&serving.gate, || serving.asker.program(peer));
    if gate.inspected(target).is_some() {
        gate.refuse_for(target, "what was sent is not TLS", Some("network.tls = \"opaque\""), program);
        return Err(Refused::Way(Answered::Refused));
    }
    if let Some(mut requests) = gate.requests(target) {
        let refusal = match requests.scheme() {
            // What belongs inside TLS goes nowhere in the clear.
            HttpScheme::Https => Some(Refusal::Unreadable("it belongs inside TLS")),
            _ => requests.take(&asked.head, &mut Vec::new()).err(),
        };
        if let Some(refusal) = refusal {
            gate.refuse_request(target, &refusal, program);
            return Err(Refused::Request(answer_to(&refusal, &gate.told_of_request(target, &refusal))));
        }
    }
    gate.dial(target, program).await.map_err(|error| Refused::Way(Answered::from(&error)))
}

/// Hands `asked` on to `outer`, which was dialled for it, and the answer back to `inner`.
pub(super) async fn request(serving: Serving, asked: &Asked, inner: TcpStream, outer: TcpStream, target: &Target) {
    let meter = serving.gate.meter(target);
    meter.connected();
    let _ = outer.set_nodelay(true);
    let (moved, answered) = (AtomicBool::new(false), Notify::new());
    // What is decided about is what every server reads alike, to its end.
    let strictly = serving.gate.requests(target).is_some();
    let sent = |bytes: usize| {
        meter.sent(bytes);
        moved.store(true, Ordering::Relaxed);
    };
    let out = async {
        write_all(&outer, &asked.head).await?;
        sent(asked.head.len());
        body::carry(&inner, &outer, asked.body, strictly, sent).await?;
        // Who has gone is not waited for: that holds its place.
        tokio::select! {
            gone = until_end(&inner) => gone.and_then(|()| end_writing(&outer)),
            () = answered.notified() => Ok(()),
        }
    };
    let back = async {
        answer(&outer, &inner, &meter).await?;
        one_way(&outer, &inner, Way::In, &meter, &moved).await?;
        answered.notify_one();
        Ok(())
    };
    if both(out, back, &moved, serving.stop.clone()).await.is_err() {
        reset(outer);
        return reset(inner);
    }
    serving.last_words(inner, &[]).await;
}

/// Takes what is still sent, which is for nobody, until that ends.
async fn until_end(inner: &TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 4096];
    while read(inner, &mut buffer).await? > 0 {}
    Ok(())
}

/// Hands the heads of the answer on, the last of which says that the connection ends.
async fn answer(outer: &TcpStream, inner: &TcpStream, meter: &Meter) -> io::Result<()> {
    loop {
        let mut end = HeadEnd::new(response_head::LONGEST);
        let (answer, bytes) = take(outer, |bytes| end.is_due(bytes).then(|| response_head::read(bytes))?).await?;
        meter.received(bytes.len());
        match answer {
            Some(Answer::Interim) => write_all(inner, &bytes).await?,
            Some(Answer::Final(head)) => return write_all(inner, &head).await,
            Some(Answer::Other) | None => return write_all(inner, &bytes).await,
        }
    }
}
