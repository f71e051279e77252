//! One connection to a plane's process: calls out, answers and events in.
//!
//! Whoever writes holds the writer's lock; the ids on the wire grow because they are given out under it. Who reads: `turn.rs`.

use crate::greeting::greet;
use crate::inbox::{Inbox, would_wait};
use crate::outlet::{Outlet, WINDOW};
use crate::process::{PlaneProcess, no_resources};
use crate::pump::{self, Work};
use crate::remote::Listeners;
use crate::turn::Turn;
use crate::writer::{Unsent, Writer};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::ExecutionEventSink;
use cofferdam_bridge::execution::{ExecutionRef, ExecutionSignal};
use cofferdam_bridge::ids::ExecutionId;
use cofferdam_contract::wire::data::Data;
use cofferdam_contract::wire::fault::WireFault;
use cofferdam_contract::wire::frame::Encoding;
use cofferdam_contract::wire::hello::Welcome;
use cofferdam_contract::wire::kernel_session::KernelSession;
use cofferdam_contract::wire::method;
use cofferdam_contract::wire::typed::to_data;
use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a plane may take for what is asked of it, and to read what is sent.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) type Answer = Result<Data, BridgeError>;

/// A connection. When it is over, whatever was waited for is answered with a `plane_fault`, and so are its executions.
pub(crate) struct Connection {
    pub(crate) socket: UnixStream,
    pub(crate) process: Option<PlaneProcess>,
    writer: Mutex<Writer<UnixStream>>,
    pub(crate) inbox: Mutex<Inbox>,
    pub(crate) state: Mutex<State>,
    pub(crate) over: Condvar,
    /// The thread that reads is wanted, though it is away.
    pub(crate) wanted: Condvar,
    pub(crate) pump: Sender<Work>,
    pub(crate) listeners: Listeners,
    began: Instant,
}

pub(crate) struct State {
    pub(crate) session: KernelSession,
    pub(crate) waiting: HashMap<u64, SyncSender<Answer>>,
    pub(crate) outlets: HashMap<ExecutionId, Arc<Outlet>>,
    /// Why it is over, from the moment that somebody saw it.
    pub(crate) fault: Option<WireFault>,
    /// Everything about its end is done.
    pub(crate) over: bool,
    /// Nobody will call any more.
    pub(crate) closing: bool,
    pub(crate) turn: Turn,
    /// How many answers were read by who had called.
    pub(crate) read_by_callers: u64,
    pub(crate) ping: Option<(u64, Instant)>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("process", &self.process).finish_non_exhaustive()
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connection {
    /// Greets whoever is at the other end.
    pub(crate) fn open(
        socket: UnixStream,
        process: Option<PlaneProcess>,
        encodings: &[Encoding],
    ) -> Result<(Arc<Self>, Box<Welcome>), BridgeError> {
        let greeted = greet(&socket, encodings);
        let (session, decoder, welcome, bounds) = greeted.inspect_err(|_| {
            if let Some(process) = &process {
                process.end();
            }
        })?;
        let clone = |socket: &UnixStream| socket.try_clone().map_err(|error| no_resources(&error));
        let (reading, writing) = (clone(&socket)?, clone(&socket)?);
        let (pump, work) = channel();
        let state = State {
            session,
            waiting: HashMap::new(),
            outlets: HashMap::new(),
            fault: None,
            over: false,
            closing: false,
            turn: Turn::Thread,
            read_by_callers: 0,
            ping: None,
        };
        let frame_bytes = bounds.frame_bytes();
        let writer = Writer::new(writing, welcome.encoding, frame_bytes);
        let connection = Arc::new(Self {
            socket,
            process,
            writer: Mutex::new(writer),
            inbox: Mutex::new(Inbox::new(reading, decoder)),
            state: Mutex::new(state),
            over: Condvar::new(),
            wanted: Condvar::new(),
            pump,
            listeners: Listeners::default(),
            began: Instant::now(),
        });
        let (reader, weak) = (connection.clone(), Arc::downgrade(&connection));
        let named = |name: &str| thread::Builder::new().name(name.to_owned()).stack_size(256 * 1024);
        named("cofferdam-wire-pump").spawn(move || pump::run(&weak, &work)).map_err(|error| no_resources(&error))?;
        named("cofferdam-wire-reader").spawn(move || reader.read_on()).map_err(|error| {
            connection.finish();
            no_resources(&error)
        })?;
        Ok((connection, welcome))
    }

    /// Asks and waits: for `patience`, or as long as the plane is there.
    pub(crate) fn call(&self, method: &str, params: Data, patience: Option<Duration>) -> Answer {
        let (id, answer) = self.send_call(method, params)?;
        match self.await_answer(&answer, patience) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Disconnected) => Err(self.fault_error()),
            Err(RecvTimeoutError::Timeout) => {
                self.tell(|state| {
                    state.waiting.remove(&id);
                    state.session.cancel(id)
                });
                let message = format!("the plane did not answer `{method}` in time; it may be busy, so try again");
                Err(BridgeError::new(ErrorCode::DeadlineExceeded, message).with("method", method))
            }
        }
    }

    /// Asks without waiting for the answer.
    fn ask(&self, method: &str, params: Data) -> Result<u64, BridgeError> {
        let (id, _) = self.send_call(method, params)?;
        self.call_thread();
        Ok(id)
    }

    fn send_call(&self, method: &str, params: Data) -> Result<(u64, Receiver<Answer>), BridgeError> {
        let mut writer = lock(&self.writer);
        let (sender, receiver) = sync_channel(1);
        let mut state = lock(&self.state);
        if state.fault.is_some() {
            return Err(self.fault_of(&state));
        }
        let (id, message) = state.session.call(method, params)?;
        state.waiting.insert(id, sender);
        drop(state);
        let (sent, limit) = (writer.send(&message), writer.frame_bytes);
        drop(writer);
        match sent {
            Ok(()) => {}
            Err(Unsent::Failed(error)) => self.fail(unsent(&error)),
            Err(Unsent::TooLarge) => {
                let mut state = lock(&self.state);
                state.waiting.remove(&id);
                state.session.unsent(id);
                let message = format!("`{method}` is larger than the plane takes at once; hand over less");
                return Err(BridgeError::new(ErrorCode::RequestInvalid, message).with("limit_bytes", limit));
            }
        }
        Ok((id, receiver))
    }

    /// Sends what `message` makes of the state, if anything.
    fn tell(&self, message: impl FnOnce(&mut State) -> Option<Data>) {
        let mut writer = lock(&self.writer);
        let told = message(&mut lock(&self.state));
        let sent = told.map(|message| writer.send(&message));
        drop(writer);
        if let Some(Err(Unsent::Failed(error))) = sent {
            self.fail(unsent(&error));
        }
    }

    /// From now on events of the execution go to `sink`.
    pub(crate) fn expect(&self, execution: &ExecutionRef, sink: Arc<dyn ExecutionEventSink>) {
        let mut state = lock(&self.state);
        let outlet = Outlet::new(execution.clone(), sink, self.pump.clone());
        state.session.expect_execution(execution.execution_id.clone(), WINDOW);
        state.outlets.insert(execution.execution_id.clone(), Arc::new(outlet));
    }

    /// The execution was not started.
    pub(crate) fn forget(&self, id: &ExecutionId) {
        let mut state = lock(&self.state);
        state.session.no_execution(id);
        state.outlets.remove(id);
    }

    /// Whether the execution has not told its end.
    pub(crate) fn has(&self, id: &ExecutionId) -> bool {
        lock(&self.state).outlets.contains_key(id)
    }

    /// Whether calls can be made.
    pub(crate) fn is_open(&self) -> bool {
        lock(&self.state).fault.is_none()
    }

    /// How long it has been open.
    pub(crate) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn fault_of(&self, state: &State) -> BridgeError {
        state.fault.unwrap_or(WireFault::Disconnected).as_plane_fault()
    }

    fn fault_error(&self) -> BridgeError {
        self.fault_of(&lock(&self.state))
    }

    /// Hands over what waits of one execution, and lets go of it after its end.
    pub(crate) fn drain(&self, id: &ExecutionId) {
        let outlet = lock(&self.state).outlets.get(id).cloned();
        if outlet.is_some_and(|outlet| outlet.drain()) {
            lock(&self.state).outlets.remove(id);
        }
    }

    pub(crate) fn is_drained(&self) -> bool {
        lock(&self.state).outlets.is_empty()
    }

    pub(crate) fn grant(&self, id: &ExecutionId) {
        self.tell(|state| {
            let read = state.outlets.get(id)?.take_read();
            state.session.grant(id, read)
        });
    }

    /// Nobody reads an execution's events any more, so it is to end.
    pub(crate) fn stop(&self, execution: &ExecutionRef) {
        let params = Data::map([("execution", to_data(execution)), ("signal", to_data(&ExecutionSignal::Kill))]);
        // Whatever it answers, the end is told by an event.
        let _ = self.ask(method::KILL_EXECUTION, params);
    }

    /// Asks whether the plane is there, when it has something to do; one that has not answered the last time is not.
    pub(crate) fn beat(&self) {
        let state = lock(&self.state);
        let asked = state.ping.map(|(_, at)| at);
        let busy = state.session.executions() > 0 || state.session.pending() > 0;
        let open = state.fault.is_none();
        drop(state);
        match asked {
            Some(at) if at.elapsed() >= PATIENCE => self.fail(WireFault::Unresponsive),
            None if busy && open => {
                if let Ok(id) = self.ask(method::PING, Data::Map(Vec::new())) {
                    lock(&self.state).ping = Some((id, Instant::now()));
                }
            }
            _ => {}
        }
    }
}

/// What a plane does that does not take what is sent.
fn unsent(error: &std::io::Error) -> WireFault {
    if would_wait(error) { WireFault::Unresponsive } else { WireFault::Disconnected }
}
