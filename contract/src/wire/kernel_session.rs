//! The kernel's side of a session: what may be sent, and what the plane may say when.

use super::credit::{Credit, cost};
use super::data::Data;
use super::fault::WireFault;
use super::frame::Encoding;
use super::hello::{Bounds, Hello, Welcome};
use super::message::{GREATEST_ID, Message};
use super::{method, typed};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::ExecutionEvent;
use cofferdam_bridge::ids::{ExecutionId, VmId};
use std::collections::{HashMap, HashSet};

/// Calls that nobody waits for any more and that were not answered yet; a plane that answers so little is not there.
const MOST_ABANDONED: usize = 1024;

/// What a message of the plane means.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FromPlane {
    /// The session is open. The next frame, in either direction, is in the welcome's encoding and within the bounds.
    Welcomed(Box<Welcome>, Bounds),
    /// A call was answered.
    Reply {
        /// Which.
        id: u64,
        /// The result, or why there is none.
        outcome: Result<Data, BridgeError>,
    },
    /// Something happened in an execution.
    Event {
        /// In which.
        execution_id: ExecutionId,
        /// What. After `Exited` the execution is no more.
        event: ExecutionEvent,
        /// What it cost; to be granted again when it was read.
        cost: u64,
    },
    /// A watch saw something.
    FileChanged(Data),
    /// A timer's time has come.
    TimerFired {
        /// Whose.
        vm_id: VmId,
        /// Which.
        timer_id: u64,
    },
    /// Something that this release does not know and need not heed, or an answer that nobody waits for.
    Nothing,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    New,
    Greeting(u64),
    Open,
    Ended,
}

/// The kernel's side of one session.
#[derive(Debug)]
pub struct KernelSession {
    hello: Hello,
    state: State,
    bounds: Bounds,
    last_id: u64,
    pending: HashSet<u64>,
    abandoned: HashSet<u64>,
    executions: HashMap<ExecutionId, Credit>,
}

impl KernelSession {
    /// A session that offers `encodings`, the ones liked better first, and takes `bounds`.
    pub fn new(encodings: &[Encoding], bounds: Bounds) -> Self {
        Self {
            hello: Hello::new(encodings, bounds),
            state: State::New,
            bounds,
            last_id: 0,
            pending: HashSet::new(),
            abandoned: HashSet::new(),
            executions: HashMap::new(),
        }
    }

    /// The first message.
    ///
    /// # Errors
    /// `invalid_state` for a session that has begun.
    pub fn greet(&mut self) -> Result<Data, BridgeError> {
        if self.state != State::New {
            return Err(BridgeError::new(ErrorCode::InvalidState, "this session has begun already"));
        }
        let id = self.next_id();
        self.state = State::Greeting(id);
        let params = typed::to_data(&self.hello);
        Ok(Message::Request { id, method: method::HELLO.to_owned(), params }.into_data())
    }

    /// A call, and the id of its answer.
    ///
    /// # Errors
    /// `queue_full` when as many wait as were agreed, `invalid_state` for a session that is not open.
    pub fn call(&mut self, method: &str, params: Data) -> Result<(u64, Data), BridgeError> {
        if self.state != State::Open {
            let message = "the connection to the plane is not open; its executions have ended";
            return Err(BridgeError::new(ErrorCode::InvalidState, message));
        }
        let most = usize::try_from(self.bounds.max_pending_calls).unwrap_or(usize::MAX);
        if self.pending.len() + self.abandoned.len() >= most.saturating_add(MOST_ABANDONED)
            || self.pending.len() >= most
        {
            let message = "the plane has as many calls to answer as it takes; try again when one is answered";
            return Err(BridgeError::new(ErrorCode::QueueFull, message).with("limit", self.bounds.max_pending_calls));
        }
        let id = self.next_id();
        self.pending.insert(id);
        Ok((id, Message::Request { id, method: method.to_owned(), params }.into_data()))
    }

    /// From now on `execution_id` may send events, `credit` bytes of them. To be said before its start is asked for.
    pub fn expect_execution(&mut self, execution_id: ExecutionId, credit: u64) {
        self.executions.insert(execution_id, Credit::new(credit));
    }

    /// The start was refused: no event of it may come any more.
    pub fn no_execution(&mut self, execution_id: &ExecutionId) {
        self.executions.remove(execution_id);
    }

    /// Lets an execution send `bytes` more; none for one that has ended.
    pub fn grant(&mut self, execution_id: &ExecutionId, bytes: u64) -> Option<Data> {
        self.executions.get_mut(execution_id)?.grant(bytes);
        let id = Data::text(execution_id.as_str());
        let params = Data::map([("execution_id", id), ("bytes", Data::Unsigned(bytes))]);
        Some(Message::Notification { method: method::CREDIT.to_owned(), params }.into_data())
    }

    /// Says that nobody waits for a call any more; none for one that was answered.
    pub fn cancel(&mut self, id: u64) -> Option<Data> {
        if !self.pending.remove(&id) {
            return None;
        }
        self.abandoned.insert(id);
        let params = Data::map([("id", Data::Unsigned(id))]);
        Some(Message::Notification { method: method::CANCEL.to_owned(), params }.into_data())
    }

    /// A call was not sent: no answer comes.
    pub fn unsent(&mut self, id: u64) {
        self.pending.remove(&id);
    }

    /// Takes one message of the plane. After a fault the session has ended.
    ///
    /// # Errors
    /// What the plane did against the protocol.
    pub fn receive(&mut self, data: Data) -> Result<FromPlane, WireFault> {
        let received = if self.state == State::Ended { Err(WireFault::Disconnected) } else { self.take(data) };
        if received.is_err() {
            // Which executions are cut off is still asked of `end`.
            self.state = State::Ended;
        }
        received
    }

    /// Nothing more is sent or taken. Answers which executions are cut off by it.
    pub fn end(&mut self) -> Vec<ExecutionId> {
        self.state = State::Ended;
        self.pending.clear();
        self.abandoned.clear();
        self.executions.drain().map(|(id, _)| id).collect()
    }

    /// How many calls wait for their answer.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// How many executions have not told their end.
    pub fn executions(&self) -> usize {
        self.executions.len()
    }

    fn next_id(&mut self) -> u64 {
        // At a million calls a second the greatest id is reached after 285 years.
        self.last_id = (self.last_id + 1).min(GREATEST_ID);
        self.last_id
    }

    fn take(&mut self, data: Data) -> Result<FromPlane, WireFault> {
        match Message::read(data)? {
            Message::Request { .. } => Err(WireFault::UnknownMethod),
            Message::Reply { id, outcome } => {
                let id = id.ok_or(WireFault::UnexpectedReply)?;
                if self.state == State::Greeting(id) {
                    let (welcome, bounds) =
                        Welcome::read(outcome.map_err(|_| WireFault::NoCommonVersion)?, &self.hello)?;
                    (self.state, self.bounds) = (State::Open, bounds);
                    return Ok(FromPlane::Welcomed(Box::new(welcome), bounds));
                }
                if self.abandoned.remove(&id) {
                    return Ok(FromPlane::Nothing);
                }
                if !self.pending.remove(&id) {
                    return Err(WireFault::UnexpectedReply);
                }
                let outcome = outcome.map_err(super::message::WireError::into_bridge_error);
                Ok(FromPlane::Reply { id, outcome })
            }
            Message::Notification { .. } if self.state != State::Open => Err(WireFault::NotGreeted),
            Message::Notification { method, params } => self.told(&method, params),
        }
    }

    fn told(&mut self, method: &str, mut params: Data) -> Result<FromPlane, WireFault> {
        match method {
            method::EVENT => {
                let execution_id: ExecutionId = typed::field(&mut params, "execution_id")?;
                let credit = self.executions.get_mut(&execution_id).ok_or(WireFault::UnknownExecution)?;
                let event = params.take("event").ok_or(WireFault::InvalidParams)?;
                let Some(event) = typed::event_from_data(event)? else {
                    let paid = credit.spend(super::credit::OTHER_EVENT);
                    credit.grant(if paid { super::credit::OTHER_EVENT } else { 0 });
                    return if paid { Ok(FromPlane::Nothing) } else { Err(WireFault::CreditExceeded) };
                };
                let cost = cost(&event);
                if !credit.spend(cost) {
                    return Err(WireFault::CreditExceeded);
                }
                if matches!(event, ExecutionEvent::Exited(_)) {
                    self.executions.remove(&execution_id);
                }
                Ok(FromPlane::Event { execution_id, event, cost })
            }
            method::FILE_CHANGED => Ok(FromPlane::FileChanged(params)),
            method::TIMER_FIRED => {
                let vm_id = typed::field(&mut params, "vm_id")?;
                let timer_id = typed::field(&mut params, "timer_id")?;
                Ok(FromPlane::TimerFired { vm_id, timer_id })
            }
            _ => Ok(FromPlane::Nothing),
        }
    }
}
