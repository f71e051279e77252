//! What a served plane keeps for its one kernel.

use super::calls;
use super::operations::{Notices, Operations};
use super::outgoing::Outgoing;
use crate::writer::{Unsent, Writer};
use cofferdam_bridge::descriptor::Feature;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::ExecutionEvent;
use cofferdam_bridge::execution::{ExecutionBridge, ExecutionRef};
use cofferdam_bridge::ids::{ExecutionId, VmId};
use cofferdam_contract::wire::data::Data;
use cofferdam_contract::wire::fault::WireFault;
use cofferdam_contract::wire::frame::{Encoding, FrameDecoder};
use cofferdam_contract::wire::hello::Bounds;
use cofferdam_contract::wire::message::{Message, WireError};
use cofferdam_contract::wire::plane_session::{FromKernel, PlaneSession};
use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Between two questions to a plane that has no push side.
const POLL: Duration = Duration::from_millis(2);

pub(crate) struct Server {
    pub(crate) plane: Arc<dyn ExecutionBridge<Error = BridgeError>>,
    pub(crate) operations: Option<Arc<dyn Operations>>,
    session: Mutex<PlaneSession>,
    writer: Mutex<Writer<Box<dyn Write + Send>>>,
    outgoing: Mutex<HashMap<ExecutionId, Arc<Outgoing>>>,
    vms: Mutex<BTreeSet<VmId>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    pub(crate) fn new(
        plane: Arc<dyn ExecutionBridge<Error = BridgeError>>,
        operations: Option<Arc<dyn Operations>>,
        writer: Box<dyn Write + Send>,
        encodings: &[Encoding],
        bounds: Bounds,
    ) -> Self {
        let groups = operations.as_ref().map(|operations| operations.groups()).unwrap_or_default();
        let session = PlaneSession::new(plane.describe(), groups, encodings, bounds);
        let frame_bytes = bounds.frame_bytes();
        let writer = Writer::new(writer, Encoding::Json, frame_bytes);
        Self {
            plane,
            operations,
            session: Mutex::new(session),
            writer: Mutex::new(writer),
            outgoing: Mutex::default(),
            vms: Mutex::default(),
        }
    }

    /// Takes one frame; answers whether the session is over.
    pub(crate) fn take(self: &Arc<Self>, frame: Result<Data, WireFault>, decoder: &mut FrameDecoder) -> bool {
        let received = lock(&self.session).receive(frame);
        match received {
            Err(refused) => {
                self.send(&refused.answer);
                return refused.ended;
            }
            Ok(FromKernel::Greeted { answer, encoding, bounds }) => {
                let mut writer = lock(&self.writer);
                send(&mut writer, &answer);
                (writer.encoding, writer.frame_bytes) = (encoding, bounds.frame_bytes());
                decoder.switch(encoding, bounds.frame_bytes());
            }
            Ok(FromKernel::Call { id, method, params }) => calls::call(self, id, &method, params),
            Ok(FromKernel::Answer(answer) | FromKernel::Cancelled { answer, .. }) => self.send(&answer),
            Ok(FromKernel::Granted(id)) => {
                let outgoing = lock(&self.outgoing).get(&id).cloned();
                if let Some(outgoing) = outgoing {
                    outgoing.flush();
                }
            }
            Ok(_) => {}
        }
        false
    }

    /// Ends everything that was started for this kernel.
    pub(crate) fn end(&self) {
        for (_, outgoing) in lock(&self.outgoing).drain() {
            outgoing.close();
        }
        for vm_id in std::mem::take(&mut *lock(&self.vms)) {
            self.plane.forget_vm(&vm_id);
        }
    }

    /// Answers a call, unless that was done when it was cancelled.
    pub(crate) fn reply(&self, id: u64, outcome: Result<Data, BridgeError>) {
        let answer = lock(&self.session).reply(id, outcome);
        if let Some(answer) = answer {
            self.send(&answer);
        }
    }

    /// Answers a call that was made wrongly.
    pub(crate) fn reject(&self, id: u64, fault: WireFault) {
        let answer = lock(&self.session).reject(id, fault);
        if let Some(answer) = answer {
            self.send(&answer);
        }
    }

    pub(crate) fn remember(&self, vm_id: VmId) {
        lock(&self.vms).insert(vm_id);
    }

    pub(crate) fn forget(&self, vm_id: &VmId) {
        lock(&self.vms).remove(vm_id);
    }

    /// From now on the execution's events go out.
    pub(crate) fn expect(self: &Arc<Self>, execution: &ExecutionRef, credit: u64) -> Arc<Outgoing> {
        let id = &execution.execution_id;
        lock(&self.session).expect_execution(id.clone(), credit);
        let outgoing = Outgoing::new(id.clone(), Arc::downgrade(self));
        lock(&self.outgoing).insert(id.clone(), outgoing.clone());
        outgoing
    }

    /// It did not start.
    pub(crate) fn no_execution(&self, id: &ExecutionId) {
        lock(&self.session).no_execution(id);
        lock(&self.outgoing).remove(id);
    }

    /// For a plane that has no push side: asks for events until the last.
    pub(crate) fn poll(self: &Arc<Self>, execution: ExecutionRef, outgoing: Arc<Outgoing>) {
        use cofferdam_bridge::event::ExecutionEventSink;
        if !self.plane.describe().has(Feature::PolledEvents) {
            return;
        }
        let plane = self.plane.clone();
        // Without a thread the execution is ended by the kernel's own limit.
        let _ = thread::Builder::new().name("cofferdam-serve-poll".to_owned()).spawn(move || {
            loop {
                match plane.poll_execution_event(&execution) {
                    Ok(Some(event)) => {
                        let last = matches!(event, ExecutionEvent::Exited(_));
                        if !outgoing.push(event) || last {
                            return;
                        }
                    }
                    Ok(None) => thread::sleep(POLL),
                    Err(_) => return,
                }
            }
        });
    }

    /// Sends an event, or hands it back where it must wait for credit.
    pub(crate) fn send_event(&self, id: &ExecutionId, event: ExecutionEvent) -> Result<(), Box<ExecutionEvent>> {
        let last = matches!(event, ExecutionEvent::Exited(_));
        let message = lock(&self.session).event(id, event)?;
        if let Some(message) = message {
            self.send(&message);
        }
        if last {
            lock(&self.outgoing).remove(id);
        }
        Ok(())
    }

    fn send(&self, message: &Data) {
        send(&mut lock(&self.writer), message);
    }
}

impl Notices for Server {
    fn tell(&self, method: &str, params: Data) -> bool {
        self.send(&Message::Notification { method: method.to_owned(), params }.into_data());
        true
    }
}

/// An answer too large for the kernel becomes an error; when nobody reads, the reader of this side hears of the end.
fn send(writer: &mut Writer<Box<dyn Write + Send>>, message: &Data) {
    let Err(Unsent::TooLarge) = writer.send(message) else { return };
    let Some(id) = message.get("id").and_then(Data::as_unsigned) else { return };
    let error = BridgeError::new(
        ErrorCode::OutputLimitExceeded,
        "the answer is larger than one frame may be; ask for less at once",
    );
    let outcome = Err(WireError::Bridge(Box::new(error)));
    let _ = writer.send(&Message::Reply { id: Some(id), outcome }.into_data());
}
