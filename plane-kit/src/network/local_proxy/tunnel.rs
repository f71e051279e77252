//! A way to a host that was asked for, whichever protocol it was asked by.

use super::super::carry::{reset, write_all};
use super::super::connection;
use super::super::dial::NotDialled;
use super::super::gate::Target;
use super::super::worker::ended;
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

/// The target of `authority` that may be had, and the connection to it where nothing is looked at before: a name leads somewhere
/// then, and is not dialled yet.
pub(super) async fn wanted(
    serving: &Serving,
    authority: &Authority,
    peer: SocketAddr,
) -> Result<(Target, Option<TcpStream>), Answer> {
    let (gate, program) = (&serving.gate, || serving.asker.program(peer));
    let mut stop = serving.stop.clone();
    let mut answer = Answer::Refused;
    for target in &authority.targets {
        // A run that has ended waits for nobody's answer.
        let allowed = tokio::select! {
            allowed = gate.decide(target, program) => allowed,
            () = ended(&mut stop) => false,
        };
        let may_ask = || match target {
            Target::Name(name, _) => gate.may_ask(name, program),
            Target::Address(_) => true,
        };
        if !allowed || !may_ask() {
            gate.meter(target).failed();
            return Err(Answer::Refused);
        }
        let looked_at = matches!(target, Target::Name(..)) || gate.requests(target).is_some();
        let reached = match looked_at {
            true => gate.leads(target, program).await.map(|()| None),
            // Of this machine's two addresses the one on which somebody listens.
            false => gate.dial(target, program).await.map(Some),
        };
        match reached {
            Ok(connection) => return Ok((target.clone(), connection)),
            Err(error) => answer = Answer::from(&error),
        }
    }
    authority.targets.first().into_iter().for_each(|target| gate.meter(target).failed());
    Err(answer)
}

/// Opens a way for `stream` to `authority`, says so by `say`, and carries what is said then like every other connection of a run.
pub(super) async fn open(
    serving: Serving,
    authority: &Authority,
    stream: TcpStream,
    peer: SocketAddr,
    say: impl Fn(Answer) -> Vec<u8>,
) {
    let (target, connection) = match wanted(&serving, authority, peer).await {
        Ok(wanted) => wanted,
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
