//! What one execution asks by: the desk, with the execution's name on each question and its events on the way.

use super::desk::{Asker, PromptDesk};
use crate::queue::EventQueue;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionEventSink};
use cofferdam_bridge::ids::PromptId;
use cofferdam_bridge::prompt::{PromptQuestion, PromptTicket, PromptWaiter};
use std::sync::{Arc, OnceLock, Weak};
use tokio::runtime::Handle;

/// The way of one execution to the host.
#[derive(Debug)]
pub(crate) struct Gate {
    desk: Arc<PromptDesk>,
    asker: Asker,
    runtime: Handle,
}

impl Gate {
    /// A gate for `asker`. Time limits are held on `runtime`.
    pub(crate) fn new(desk: Arc<PromptDesk>, asker: Asker, runtime: Handle) -> Self {
        Self { desk, asker, runtime }
    }

    /// Asks, and tells the question and what it came to as events of `queue`.
    pub(crate) fn ask(&self, queue: &Weak<EventQueue>, question: PromptQuestion, waiter: PromptWaiter) -> PromptTicket {
        let told: Arc<OnceLock<PromptId>> = Arc::default();
        let (announced, own) = (told.clone(), queue.clone());
        let announce = move |prompt: &cofferdam_bridge::prompt::Prompt| {
            // A queue that is full has a reader who does not read; the prompter gets the question anyway.
            let push =
                |queue: Arc<EventQueue>| queue.try_push(ExecutionEvent::Prompted { prompt: Box::new(prompt.clone()) });
            if own.upgrade().is_some_and(|queue| push(queue).is_ok()) {
                let _ = announced.set(prompt.id.clone());
            }
        };
        let queue = queue.clone();
        let settle: PromptWaiter = Box::new(move |outcome| {
            if let (Some(id), Some(queue)) = (told.get(), queue.upgrade()) {
                let _ = queue.try_push(ExecutionEvent::PromptSettled { id: id.clone(), outcome });
            }
            waiter(outcome);
        });
        self.desk.ask(&self.runtime, &self.asker, question, announce, settle)
    }

    /// The execution has ended: nothing of it waits any more.
    pub(crate) fn end(&self) {
        if let Some(execution) = &self.asker.execution {
            self.desk.end(execution);
        }
    }
}
