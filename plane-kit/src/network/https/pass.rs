//! One connection of a run to a host about whose requests inside TLS rules decide.

use super::super::carry::{reset, write_all};
use super::super::gate::{Gate, Target};
use super::super::http::{Requests, answer, answer_to, end, first};
use super::super::inspect::ACCESS_DENIED;
use super::carry::carry;
use super::not_ended::NotEnded;
use std::io;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Carries `stream`, whose run asked for `target` and may have it, as far as `requests` lets it. Nothing is dialled before a request was
/// allowed. `program`: who asked.
pub async fn pass(
    gate: &Gate,
    target: &Target,
    stream: TcpStream,
    mut requests: Requests,
    program: impl Fn() -> Option<String>,
    stop: watch::Receiver<bool>,
) {
    let (name, meter) = (target.host(), gate.meter(target));
    let Some(ending) = gate.ending() else {
        meter.failed();
        return reset(stream);
    };
    let mut inner = match ending.of_run(stream, &name).await {
        Ok(inner) => inner,
        Err(why) => {
            meter.failed();
            tell(gate, target, &why, &program);
            if let NotEnded::Refused(refused) = why
                && let Some(stream) = refused.stream
            {
                let _ = write_all(&stream, &ACCESS_DENIED).await;
            }
            return;
        }
    };
    let first = match first(&mut inner, &mut requests).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(refusal)) => {
            gate.refuse_request(target, &refusal, program);
            meter.failed();
            return end(inner, &answer_to(&refusal, &gate.told_of_request(target, &refusal))).await;
        }
        Err(error) => {
            // Node.js breaks the connection.
            let nothing = error.kind() != io::ErrorKind::TimedOut && requests.is_whole();
            // Some connect beforehand, and use another connection in the end; who has been here takes the certificate.
            if nothing && !meter.has_connected() {
                tell(gate, target, &NotEnded::unasked(), program);
            }
            return;
        }
    };
    let Ok(outer) = gate.dial(target, &program).await else {
        meter.failed();
        return end(inner, &answer("502 Bad Gateway", "the host cannot be reached")).await;
    };
    let outer = match ending.of_host(outer, &name).await {
        Ok(outer) => outer,
        Err(why) => {
            meter.failed();
            let told = match &why {
                NotEnded::Refused(refused) => refused.why.clone(),
                NotEnded::Broken => "the host does not speak TLS as it should".to_owned(),
            };
            tell(gate, target, &why, &program);
            return end(inner, &answer("502 Bad Gateway", &told)).await;
        }
    };
    meter.connected();
    let refused = |refusal| gate.refuse_request(target, &refusal, &program);
    carry((inner, outer), &first, requests, &meter, stop, refused).await;
}

fn tell(gate: &Gate, target: &Target, why: &NotEnded, program: impl FnOnce() -> Option<String>) {
    if let NotEnded::Refused(refused) = why {
        let remedy = format!("remove the entries of network.http about https://{} from the policy", target.entry());
        gate.refuse_for(target, &refused.why, refused.goes_by_itself.then_some(&*remedy), program);
    }
}
