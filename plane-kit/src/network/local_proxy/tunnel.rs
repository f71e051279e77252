//! A way to a host that was asked for, whichever protocol it was asked by.

use super::super::carry::{reset, write_all};
use super::super::connection;
use super::super::dial::NotDialled;
use super::super::gate::Target;
use super::authority::Authority;
use super::serve::Serving;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// What is answered to a run that asked for a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is open.
    Open,
    /// The policy is against it.
    Refused,
    /// The name leads nowhere now.
    Unresolved,
    /// Nobody answers there.
    Unreachable,
}

impl From<&NotDialled> for Answer {
    fn from(error: &NotDialled) -> Self {
        match error {
            NotDialled::Refused => Self::Refused,
            NotDialled::Unresolved => Self::Unresolved,
            NotDialled::Failed(_) => Self::Unreachable,
        }
    }
}

/// The target of `authority` that may be had, and the connection to it. What is looked at before it is dialled has none yet.
pub(super) async fn reach(
    serving: &Serving,
    authority: &Authority,
    peer: SocketAddr,
) -> Result<(Target, Option<TcpStream>), Answer> {
    let (gate, program) = (&serving.gate, || serving.asker.program(peer));
    let mut answer = Answer::Refused;
    for target in &authority.targets {
        if !gate.decide(target, program) {
            gate.meter(target).failed();
            return Err(answer);
        }
        if let Target::Name(name, _) = target
            && !gate.may_ask(name, program)
        {
            return Err(Answer::Refused);
        }
        let reached = match gate.inspected(target) {
            Some(_) => gate.leads(target, program).await.map(|()| None),
            None => gate.dial(target, program).await.map(Some),
        };
        match reached {
            Ok(connection) => return Ok((target.clone(), connection)),
            Err(error) => answer = Answer::from(&error),
        }
    }
    authority.targets.first().into_iter().for_each(|target| gate.meter(target).failed());
    Err(answer)
}

/// Opens a way for `stream` to `authority`, says so by `say`, and carries what is said then.
pub(super) async fn open(
    serving: Serving,
    authority: &Authority,
    stream: TcpStream,
    peer: SocketAddr,
    say: impl Fn(Answer) -> Vec<u8>,
) {
    let (target, connection) = match reach(&serving, authority, peer).await {
        Ok(reached) => reached,
        Err(answer) => return serving.last_words(stream, &say(answer)).await,
    };
    if write_all(&stream, &say(Answer::Open)).await.is_err() {
        return reset(stream);
    }
    let Serving { gate, asker, stop, .. } = serving;
    match connection {
        Some(outer) => connection::join(stream, outer, &[], &gate.meter(&target), stop).await,
        None => connection::pass(&gate, &target, stream, || asker.program(peer), stop).await,
    }
}
