//! One connection to a plane's process: calls out, answers and events in.
//!
//! A thread reads and never writes or waits, so that a plane which waits for us to read never waits for long. Whoever writes holds the
//! writer's lock; the ids on the wire grow because they are given out under it.

use crate::outlet::{Outlet, WINDOW};
use crate::process::{PlaneProcess, no_resources};
use crate::pump::{self, Work};
use crate::writer::Writer;
use cofferdam_bridge::enforcement::{Enforcement, Tier};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionEventSink, ExecutionReport};
use cofferdam_bridge::execution::{ExecutionRef, ExecutionSignal};
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::ids::ExecutionId;
use cofferdam_bridge::usage::Usage;
use cofferdam_contract::wire::data::Data;
use cofferdam_contract::wire::fault::WireFault;
use cofferdam_contract::wire::frame::{self, Encoding, FrameDecoder};
use cofferdam_contract::wire::hello::{Bounds, Welcome};
use cofferdam_contract::wire::kernel_session::{FromPlane, KernelSession};
use cofferdam_contract::wire::method;
use cofferdam_contract::wire::typed::to_data;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a plane may take for what is asked of it, and to read what is sent.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How long a plane may take to start and to answer the greeting: an interpreter on a busy machine.
const START: Duration = Duration::from_secs(30);

/// What a plane has to end in order when it is not wanted any more.
const LAST_WORDS: Duration = Duration::from_secs(2);

type Answer = Result<Data, BridgeError>;

/// A connection. When it is over, whatever was waited for is answered with a `plane_fault`, and so are its executions.
pub(crate) struct Connection {
    socket: UnixStream,
    process: Option<PlaneProcess>,
    writer: Mutex<Writer>,
    state: Mutex<State>,
    over: Condvar,
    pump: Sender<Work>,
    began: Instant,
}

struct State {
    session: KernelSession,
    waiting: HashMap<u64, SyncSender<Answer>>,
    outlets: HashMap<ExecutionId, Arc<Outlet>>,
    /// Why it is over, from the moment that somebody saw it.
    fault: Option<WireFault>,
    /// Everything about its end is done.
    over: bool,
    ping: Option<(u64, Instant)>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("process", &self.process).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connection {
    /// Greets whoever is at the other end.
    pub(crate) fn open(
        socket: UnixStream,
        process: Option<PlaneProcess>,
        encodings: &[Encoding],
    ) -> Result<(Arc<Self>, Box<Welcome>), BridgeError> {
        let greeted = Self::greet(&socket, encodings);
        let (session, decoder, welcome, bounds) = greeted.inspect_err(|_| {
            if let Some(process) = &process {
                process.end();
            }
        })?;
        let clone = |socket: &UnixStream| socket.try_clone().map_err(|error| no_resources(&error));
        let (reading, writing) = (clone(&socket)?, clone(&socket)?);
        let (pump, work) = channel();
        let state =
            State { session, waiting: HashMap::new(), outlets: HashMap::new(), fault: None, over: false, ping: None };
        let frame_bytes = bounds.frame_bytes();
        let writer = Writer { socket: writing, buffer: Vec::new(), encoding: welcome.encoding, frame_bytes };
        let (writer, state, began) = (Mutex::new(writer), Mutex::new(state), Instant::now());
        let connection = Arc::new(Self { socket, process, writer, state, over: Condvar::new(), pump, began });
        let (reader, weak) = (connection.clone(), Arc::downgrade(&connection));
        let named = |name: &str| thread::Builder::new().name(name.to_owned()).stack_size(256 * 1024);
        named("cofferdam-wire-pump").spawn(move || pump::run(&weak, &work)).map_err(|error| no_resources(&error))?;
        named("cofferdam-wire-reader").spawn(move || reader.read(reading, decoder)).map_err(|error| {
            connection.finish();
            no_resources(&error)
        })?;
        Ok((connection, welcome))
    }

    fn greet(
        socket: &UnixStream,
        encodings: &[Encoding],
    ) -> Result<(KernelSession, FrameDecoder, Box<Welcome>, Bounds), BridgeError> {
        let own = Bounds::default();
        let mut session = KernelSession::new(encodings, own);
        let mut frame = Vec::new();
        let greeting = session.greet()?;
        frame::encode(&greeting, Encoding::Json, own.frame_bytes(), &mut frame).map_err(WireFault::as_plane_fault)?;
        let _ = socket.set_write_timeout(Some(PATIENCE));
        // A program that is no plane may have ended already; what it has said tells more than that it does not listen.
        let _ = (&mut &*socket).write_all(&frame);
        let mut decoder = FrameDecoder::new(own.frame_bytes(), Bounds::DEPTH);
        let end = Instant::now() + START;
        loop {
            if let Some(data) = decoder.next_value().map_err(WireFault::as_plane_fault)? {
                if let FromPlane::Welcomed(welcome, bounds) =
                    session.receive(data).map_err(WireFault::as_plane_fault)?
                {
                    decoder.switch(welcome.encoding, bounds.frame_bytes());
                    let _ = socket.set_read_timeout(None);
                    return Ok((session, decoder, welcome, bounds));
                }
                continue;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(WireFault::Unresponsive.as_plane_fault());
            }
            let _ = socket.set_read_timeout(Some(left));
            match (&mut &*socket).read(decoder.room()) {
                Ok(0) => return Err(WireFault::Disconnected.as_plane_fault()),
                Ok(bytes) => decoder.filled(bytes),
                Err(error) if would_wait(&error) => {}
                Err(_) => return Err(WireFault::Disconnected.as_plane_fault()),
            }
        }
    }

    /// Asks and waits: for `patience`, or as long as the plane is there.
    pub(crate) fn call(&self, method: &str, params: Data, patience: Option<Duration>) -> Answer {
        let (id, answer) = self.ask(method, params)?;
        let got = match patience {
            Some(patience) => answer.recv_timeout(patience),
            None => answer.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match got {
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

    fn ask(&self, method: &str, params: Data) -> Result<(u64, Receiver<Answer>), BridgeError> {
        let mut writer = lock(&self.writer);
        let (sender, receiver) = sync_channel(1);
        let mut state = lock(&self.state);
        if state.fault.is_some() {
            return Err(self.fault_of(&state));
        }
        let (id, message) = state.session.call(method, params)?;
        state.waiting.insert(id, sender);
        drop(state);
        if writer.put(&message).is_err() {
            let mut state = lock(&self.state);
            state.waiting.remove(&id);
            // Nothing was sent, so nothing comes back; the id is spent.
            let _ = state.session.cancel(id);
            let message = format!("`{method}` is larger than the plane takes at once; hand over less");
            return Err(BridgeError::new(ErrorCode::RequestInvalid, message).with("limit_bytes", writer.frame_bytes));
        }
        let sent = writer.send();
        drop(writer);
        if let Err(fault) = sent {
            self.fail(fault);
        }
        Ok((id, receiver))
    }

    /// Sends what `message` makes of the state, if anything.
    fn tell(&self, message: impl FnOnce(&mut State) -> Option<Data>) {
        let mut writer = lock(&self.writer);
        let told = message(&mut lock(&self.state));
        let sent = told.and_then(|message| writer.put(&message).ok()).map(|()| writer.send());
        drop(writer);
        if let Some(Err(fault)) = sent {
            self.fail(fault);
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

    /// Lets the plane end in order, then ends it, and waits until that is so.
    pub(crate) fn close(&self) {
        let _ = self.socket.shutdown(Shutdown::Write);
        let state = lock(&self.state);
        let waited = self.over.wait_timeout_while(state, LAST_WORDS, |state| !state.over);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let done = state.over;
        drop(state);
        if !done {
            self.fail(WireFault::Disconnected);
            let state = lock(&self.state);
            let _ = self.over.wait_timeout_while(state, PATIENCE, |state| !state.over);
        }
    }

    /// The connection is over. The reader sees it and does the rest.
    fn fail(&self, fault: WireFault) {
        lock(&self.state).fault.get_or_insert(fault);
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    fn fault_of(&self, state: &State) -> BridgeError {
        state.fault.unwrap_or(WireFault::Disconnected).as_plane_fault()
    }

    fn fault_error(&self) -> BridgeError {
        self.fault_of(&lock(&self.state))
    }

    fn read(self: Arc<Self>, mut socket: UnixStream, mut decoder: FrameDecoder) {
        let fault = loop {
            match decoder.next_value() {
                Ok(Some(data)) => match self.take(data) {
                    Ok(()) => continue,
                    Err(fault) => break fault,
                },
                Ok(None) => {}
                Err(fault) => break fault,
            }
            match socket.read(decoder.room()) {
                Ok(0) => break WireFault::Disconnected,
                Ok(bytes) => decoder.filled(bytes),
                Err(error) if would_wait(&error) => {}
                Err(_) => break WireFault::Disconnected,
            }
        };
        lock(&self.state).fault.get_or_insert(fault);
        self.finish();
    }

    fn take(&self, data: Data) -> Result<(), WireFault> {
        let mut state = lock(&self.state);
        match state.session.receive(data)? {
            FromPlane::Reply { id, outcome } => {
                if state.ping.is_some_and(|(ping, _)| ping == id) {
                    state.ping = None;
                }
                let waiting = state.waiting.remove(&id);
                drop(state);
                if let Some(waiting) = waiting {
                    // Who gave up in this moment does not hear it.
                    let _ = waiting.send(outcome);
                }
            }
            FromPlane::Event { execution_id, event, cost } => {
                let outlet = state.outlets.get(&execution_id).cloned();
                drop(state);
                if let Some(outlet) = outlet {
                    let last = matches!(event, ExecutionEvent::Exited(_));
                    outlet.deliver(event, cost);
                    if last {
                        self.drain(&execution_id);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Ends the process first, so that an execution is told to have ended when nothing of it is left.
    fn finish(&self) {
        let _ = self.socket.shutdown(Shutdown::Both);
        let mut state = lock(&self.state);
        let cut_off = state.session.end();
        let error = self.fault_of(&state);
        state.waiting.clear();
        drop(state);
        if let Some(process) = &self.process {
            process.end();
        }
        for id in cut_off {
            let outlet = lock(&self.state).outlets.get(&id).cloned();
            if let Some(outlet) = outlet {
                let cause = ExitCause::PlaneFault { error: error.clone() };
                // What held is not known, so nothing is claimed.
                let report = ExecutionReport::new(cause, Usage::default(), Enforcement::new(Tier::None));
                outlet.deliver(ExecutionEvent::Exited(Box::new(report)), 0);
                self.drain(&id);
            }
        }
        lock(&self.state).over = true;
        self.over.notify_all();
        let _ = self.pump.send(Work::Over);
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
                if let Ok((id, _)) = self.ask(method::PING, Data::Map(Vec::new())) {
                    lock(&self.state).ping = Some((id, Instant::now()));
                }
            }
            _ => {}
        }
    }
}

fn would_wait(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
