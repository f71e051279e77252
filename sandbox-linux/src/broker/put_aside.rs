//! Calls that wait for the host's answer. The broker's thread goes on with others meanwhile.

use super::notify::{Listener, Notification};
use super::permits::{Permit, Pin, Question};
use cofferdam_bridge::event::ExecutionEventSink;
use cofferdam_bridge::prompt::{PromptOutcome, PromptQuestion, PromptTicket};
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Calls that may wait. Each holds descriptors of the host's, which may have no more than a thousand.
const MOST: usize = 128;

/// The calls of one execution that wait for an answer.
pub(super) struct PutAside {
    sink: Arc<dyn ExecutionEventSink>,
    waiting: HashMap<u64, Aside>,
    answers: Receiver<(u64, PromptOutcome)>,
    sender: Sender<(u64, PromptOutcome)>,
    /// Woken by an answer.
    arrived: Arc<EventFd>,
}

/// One that waits.
struct Aside {
    notification: Notification,
    question: Question,
    pin: Pin,
    before: Vec<Permit>,
    /// Takes the question back when it is dropped.
    _ticket: PromptTicket,
}

/// A call whose answer has come.
pub(super) struct Answered {
    pub(super) notification: Notification,
    pub(super) question: Question,
    pub(super) outcome: PromptOutcome,
    /// All that was said yes to, this question with it if it was.
    pub(super) permits: Vec<Permit>,
}

impl PutAside {
    /// Nothing waits yet; questions go to `sink`.
    pub(super) fn new(sink: Arc<dyn ExecutionEventSink>) -> Result<Self, Errno> {
        let arrived = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let (sender, answers) = channel();
        Ok(Self { sink, waiting: HashMap::new(), answers, sender, arrived: Arc::new(arrived) })
    }

    /// What becomes readable when an answer has come.
    pub(super) fn arrived(&self) -> BorrowedFd<'_> {
        self.arrived.as_fd()
    }

    /// Whether calls wait.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Puts a call aside and asks.
    ///
    /// # Errors
    /// What the call is answered where that cannot be.
    pub(super) fn put(
        &mut self,
        notification: &Notification,
        question: Question,
        before: Vec<Permit>,
    ) -> Result<(), Errno> {
        if self.waiting.len() >= MOST {
            return Err(Errno::EAGAIN);
        }
        let pin = Pin::of(&question.path).map_err(|_| super::judge::REFUSED)?;
        // Whoever is asked must see what it is; a path that is no text cannot be shown as what it is.
        let subject = question.path.to_str().ok_or(super::judge::REFUSED)?;
        let mut asked = PromptQuestion::new(question.access, subject, question.rule.clone());
        asked.program.clone_from(&question.program);
        let (id, sender, arrived) = (notification.id, self.sender.clone(), self.arrived.clone());
        let ticket = self.sink.ask(
            asked,
            Box::new(move |outcome| {
                // A broker that has ended needs no answer.
                if sender.send((id, outcome)).is_ok() {
                    let _ = arrived.write(1);
                }
            }),
        );
        self.waiting.insert(id, Aside { notification: *notification, question, pin, before, _ticket: ticket });
        Ok(())
    }

    /// The next call whose answer has come.
    pub(super) fn next(&mut self) -> Option<Answered> {
        // One that nobody wrote to says that it would block.
        let _ = self.arrived.read();
        while let Ok((id, outcome)) = self.answers.try_recv() {
            // One that was forgotten meanwhile.
            let Some(aside) = self.waiting.remove(&id) else { continue };
            let Aside { notification, question, pin, mut before, .. } = aside;
            if outcome.is_allowed() {
                before.push(Permit::new(&question, pin));
            }
            return Some(Answered { notification, question, outcome, permits: before });
        }
        None
    }

    /// Takes the questions back of threads that wait no longer: killed, or called away by a signal.
    pub(super) fn forget_gone(&mut self, listener: &Listener) {
        self.waiting.retain(|id, _| listener.is_valid(*id));
    }
}
