//! What somebody holds who has handed something to the log: waits for its sequence number, on a thread or in a task.

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The sequence number of a record, once it is in the log. Wait for it on a thread by [`wait`](Self::wait), or in a task by `.await`. What
/// was handed in is recorded whether or not anybody waits.
#[derive(Clone, Debug)]
#[must_use = "whoever does not wait does not hear that something could not be recorded"]
pub struct Ticket(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    answered: Condvar,
}

#[derive(Debug, Default)]
struct State {
    answer: Option<Result<u64, BridgeError>>,
    wakers: Vec<Waker>,
}

/// The other end of a ticket. Dropped without an answer it answers that the log is closed.
#[derive(Debug)]
pub(super) struct Stub(Arc<Shared>);

/// A ticket and its other end.
pub(super) fn pair() -> (Ticket, Stub) {
    let shared = Arc::new(Shared::default());
    (Ticket(shared.clone()), Stub(shared))
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, answer: Result<u64, BridgeError>) {
        let mut state = self.lock();
        if state.answer.is_some() {
            return;
        }
        state.answer = Some(answer);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.answered.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Ticket {
    /// Waits on this thread.
    ///
    /// # Errors
    /// `audit_unavailable` or `audit_damaged`: what was handed in is not recorded, or not as safely as it was asked for.
    pub fn wait(&self) -> Result<u64, BridgeError> {
        let mut state = self.0.lock();
        loop {
            if let Some(answer) = &state.answer {
                return answer.clone();
            }
            state = self.0.answered.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Future for Ticket {
    type Output = Result<u64, BridgeError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.lock();
        match &state.answer {
            Some(answer) => Poll::Ready(answer.clone()),
            None => {
                state.wakers.push(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Stub {
    /// Answers, once.
    pub(super) fn answer(self, answer: Result<u64, BridgeError>) {
        self.0.answer(answer);
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        let message = "the audit log was closed before this was recorded";
        self.0.answer(Err(BridgeError::new(ErrorCode::AuditUnavailable, message)));
    }
}
