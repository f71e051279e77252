//! The plane's side of a session: what the kernel may ask when, and what may be sent.

use super::credit::{Credit, cost};
use super::data::Data;
use super::fault::{Consequence, WireFault};
use super::frame::Encoding;
use super::hello::{Bounds, Hello, Welcome};
use super::message::{Message, WireError};
use super::method::{self, Kind};
use super::typed;
use cofferdam_bridge::contract::BridgeContract;
use cofferdam_bridge::descriptor::PlaneDescriptor;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::ExecutionEvent;
use cofferdam_bridge::ids::ExecutionId;
use std::collections::{HashMap, HashSet};

/// What a message of the kernel asks for.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FromKernel {
    /// Send this as the last frame of the present encoding and bound; both sides then use the new ones.
    Greeted {
        /// The answer.
        answer: Data,
        /// The encoding from now on.
        encoding: Encoding,
        /// The bounds from now on.
        bounds: Bounds,
    },
    /// Do this and [`reply`](PlaneSession::reply).
    Call {
        /// The call.
        id: u64,
        /// What to do: one of the methods, or an operation of a group that was announced.
        method: String,
        /// With what.
        params: Data,
    },
    /// Send this; nothing is to be done.
    Answer(Data),
    /// Nobody waits for this call any more; its answer was sent by this.
    Cancelled {
        /// The call.
        id: u64,
        /// The answer to send.
        answer: Data,
    },
    /// An execution may send more.
    Granted(ExecutionId),
    /// Nothing.
    Nothing,
}

/// A breach by the kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// What it did.
    pub fault: WireFault,
    /// What to send.
    pub answer: Data,
    /// Whether the session is over.
    pub ended: bool,
}

/// The plane's side of one session.
#[derive(Debug)]
pub struct PlaneSession {
    descriptor: PlaneDescriptor,
    groups: Vec<String>,
    encodings: Vec<Encoding>,
    own_bounds: Bounds,
    agreed: Option<Bounds>,
    last_id: u64,
    pending: HashSet<u64>,
    executions: HashMap<ExecutionId, Credit>,
    ended: bool,
}

impl PlaneSession {
    /// A session of the plane that `descriptor` tells of, which answers the operations of `groups` besides.
    pub fn new(descriptor: PlaneDescriptor, groups: Vec<String>, encodings: &[Encoding], bounds: Bounds) -> Self {
        Self {
            descriptor: typed::descriptor_on_the_wire(descriptor),
            groups,
            encodings: encodings.to_vec(),
            own_bounds: bounds,
            agreed: None,
            last_id: 0,
            pending: HashSet::new(),
            executions: HashMap::new(),
            ended: false,
        }
    }

    /// Takes one frame of the kernel, or the fault that it was.
    ///
    /// # Errors
    /// The breach, with what to send.
    pub fn receive(&mut self, frame: Result<Data, WireFault>) -> Result<FromKernel, Refused> {
        if self.ended {
            return Err(self.refuse(None, WireFault::Disconnected));
        }
        match frame.and_then(Message::read) {
            Err(fault) => Err(self.refuse(None, fault)),
            Ok(Message::Reply { .. }) => Err(self.refuse(None, WireFault::UnexpectedReply)),
            Ok(Message::Notification { method, params }) => self.told(&method, params),
            Ok(Message::Request { id, method, params }) => {
                self.asked(id, method, params).map_err(|fault| self.refuse(Some(id), fault))
            }
        }
    }

    /// The answer to a call; none when it was answered already.
    pub fn reply(&mut self, id: u64, outcome: Result<Data, BridgeError>) -> Option<Data> {
        let outcome = outcome.map_err(|error| WireError::Bridge(Box::new(error)));
        self.pending.remove(&id).then(|| Message::Reply { id: Some(id), outcome }.into_data())
    }

    /// As [`reply`](Self::reply), for a call whose parameters were wrong.
    pub fn reject(&mut self, id: u64, fault: WireFault) -> Option<Data> {
        let outcome = Err(WireError::Fault(fault));
        self.pending.remove(&id).then(|| Message::Reply { id: Some(id), outcome }.into_data())
    }

    /// From now on the execution may send `credit` bytes of events. To be said before it starts.
    pub fn expect_execution(&mut self, execution_id: ExecutionId, credit: u64) {
        self.executions.insert(execution_id, Credit::new(credit));
    }

    /// The execution did not start.
    pub fn no_execution(&mut self, execution_id: &ExecutionId) {
        self.executions.remove(execution_id);
    }

    /// Bytes that an execution may send now.
    pub fn credit(&self, execution_id: &ExecutionId) -> u64 {
        self.executions.get(execution_id).map_or(0, |credit| credit.left())
    }

    /// An event to send; the event again where there is not enough credit for it. After `Exited`, and for an execution that does not
    /// run, there is nothing to send.
    ///
    /// # Errors
    /// The event, when it has to wait.
    pub fn event(
        &mut self,
        execution_id: &ExecutionId,
        event: ExecutionEvent,
    ) -> Result<Option<Data>, Box<ExecutionEvent>> {
        let Some(credit) = self.executions.get_mut(execution_id) else { return Ok(None) };
        if !credit.spend(cost(&event)) {
            return Err(Box::new(event));
        }
        if matches!(event, ExecutionEvent::Exited(_)) {
            self.executions.remove(execution_id);
        }
        let id = Data::text(execution_id.as_str());
        let params = Data::map([("execution_id", id), ("event", typed::event_to_data(event))]);
        Ok(Some(Message::Notification { method: method::EVENT.to_owned(), params }.into_data()))
    }

    /// The bounds that were agreed, once they were.
    pub fn agreed(&self) -> Option<Bounds> {
        self.agreed
    }

    fn known(&self, id: u64) -> bool {
        id <= self.last_id
    }

    fn refuse(&mut self, id: Option<u64>, fault: WireFault) -> Refused {
        self.ended |= fault.consequence() == Consequence::Ends;
        let answer = Message::Reply { id, outcome: Err(WireError::Fault(fault)) }.into_data();
        Refused { fault, answer, ended: self.ended }
    }

    fn asked(&mut self, id: u64, method: String, params: Data) -> Result<FromKernel, WireFault> {
        if self.known(id) {
            return Err(WireFault::IdReused);
        }
        self.last_id = id;
        let Some(bounds) = self.agreed else { return self.greeted(id, &method, params) };
        if method == method::HELLO {
            return Err(WireFault::GreetedTwice);
        }
        if method == method::PING {
            let outcome = Ok(Data::Map(Vec::new()));
            return Ok(FromKernel::Answer(Message::Reply { id: Some(id), outcome }.into_data()));
        }
        if !self.offers(&method) {
            return Err(WireFault::UnknownMethod);
        }
        if self.pending.len() as u64 >= bounds.max_pending_calls {
            return Err(WireFault::TooManyPending);
        }
        self.pending.insert(id);
        Ok(FromKernel::Call { id, method, params })
    }

    fn offers(&self, method: &str) -> bool {
        if method::find(method).is_some_and(|method| method.kind == Kind::Call) {
            return true;
        }
        let group = method.split('.').next().unwrap_or_default();
        let known = BridgeContract::embedded()
            .is_ok_and(|contract| contract.groups.iter().any(|operation| operation.operation == method));
        known && self.groups.iter().any(|own| own == group)
    }

    fn greeted(&mut self, id: u64, method: &str, params: Data) -> Result<FromKernel, WireFault> {
        if method != method::HELLO {
            return Err(WireFault::NotGreeted);
        }
        let hello: Hello = typed::from_data(params)?;
        let (descriptor, groups) = (self.descriptor.clone(), self.groups.clone());
        let (welcome, bounds) = Welcome::answer(&hello, &self.encodings, self.own_bounds, descriptor, groups)?;
        self.agreed = Some(bounds);
        let outcome = Ok(typed::to_data(&welcome));
        let answer = Message::Reply { id: Some(id), outcome }.into_data();
        Ok(FromKernel::Greeted { answer, encoding: welcome.encoding, bounds })
    }

    /// Notifications are never answered: what is wrong or unknown about one is skipped, unless it comes before the greeting.
    fn told(&mut self, method: &str, mut params: Data) -> Result<FromKernel, Refused> {
        if self.agreed.is_none() {
            return Err(self.refuse(None, WireFault::NotGreeted));
        }
        match method {
            method::CANCEL => {
                let id = params.get("id").and_then(Data::as_unsigned).unwrap_or_default();
                let error = BridgeError::new(ErrorCode::Cancelled, "the caller does not wait for this any more");
                Ok(self
                    .reply(id, Err(error))
                    .map_or(FromKernel::Nothing, |answer| FromKernel::Cancelled { id, answer }))
            }
            method::CREDIT => {
                let bytes = params.get("bytes").and_then(Data::as_unsigned).unwrap_or_default();
                let Ok(execution_id) = typed::field::<ExecutionId>(&mut params, "execution_id") else {
                    return Ok(FromKernel::Nothing);
                };
                let Some(credit) = self.executions.get_mut(&execution_id) else { return Ok(FromKernel::Nothing) };
                credit.grant(bytes);
                Ok(FromKernel::Granted(execution_id))
            }
            _ => Ok(FromKernel::Nothing),
        }
    }
}
