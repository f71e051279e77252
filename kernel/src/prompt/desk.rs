//! Where all questions of a kernel come together: puts them to the host, holds their time, and tells everybody who waits.

use super::book::{Asked, Book, Place, Waiting};
use super::session_grants::Grants;
use crate::telemetry::{Listeners, Pending};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::ids::{ExecutionId, GrantId, PromptId, VmId};
use cofferdam_bridge::prompt::{
    AnswerSink, Grant, GrantStore, Prompt, PromptAnswer, PromptOutcome, PromptQuestion, PromptReply, PromptTicket,
    PromptWaiter, Prompter, Remember,
};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) vm: VmId,
    pub(crate) execution: Option<ExecutionId>,
    pub(crate) workspace: Option<String>,
    /// The longest that an answer may hold.
    pub(crate) remember: Remember,
}

/// The questions of one kernel.
pub(crate) struct PromptDesk {
    me: Weak<Self>,
    book: Mutex<Book>,
    timers: Mutex<HashMap<PromptId, (AbortHandle, Option<String>)>>,
    grants: Grants,
    prompter: Option<Arc<dyn Prompter>>,
    to_put: Mutex<ToPut>,
    limit: Duration,
    pending: Pending,
}

/// Questions that the host has not been asked yet, one after the other on a thread that may wait.
#[derive(Default)]
struct ToPut {
    prompts: VecDeque<Prompt>,
    at_work: bool,
}

impl fmt::Debug for PromptDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PromptDesk").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl PromptDesk {
    /// A desk that asks `prompter`, waits for `limit`, and keeps what holds for always in `store`.
    pub(crate) fn new(
        prompter: Option<Arc<dyn Prompter>>,
        store: Option<Arc<dyn GrantStore>>,
        limit: Duration,
        listeners: Listeners,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            book: Mutex::default(),
            timers: Mutex::default(),
            grants: Grants::new(store),
            prompter,
            to_put: Mutex::default(),
            limit,
            pending: Pending::new(listeners),
        })
    }

    /// Asks. `announce` is called with a prompt that is waited for now, before it can be settled.
    pub(crate) fn ask(
        &self,
        runtime: &Handle,
        asker: &Asker,
        question: PromptQuestion,
        announce: impl FnOnce(&Prompt),
        waiter: PromptWaiter,
    ) -> PromptTicket {
        self.pending.asked(question.access);
        if self.grants.cover(&asker.vm, asker.workspace.as_deref(), question.access, &question.subject) {
            waiter(PromptOutcome::Granted);
            return PromptTicket::settled();
        }
        if self.prompter.is_none() {
            waiter(PromptOutcome::NobodyToAsk);
            return PromptTicket::settled();
        }
        let limit = u64::try_from(self.limit.as_millis()).unwrap_or(u64::MAX);
        let mut book = lock(&self.book);
        match book.ask((&asker.vm, asker.execution.as_ref()), question, (asker.remember, limit), waiter) {
            Asked::Settled(outcome, waiter) => {
                drop(book);
                waiter(outcome);
                PromptTicket::settled()
            }
            Asked::Joined { prompt, place } => {
                announce(&prompt);
                self.ticket(place)
            }
            Asked::Put { prompt, place } => {
                announce(&prompt);
                self.pending.put(&prompt);
                // Before anybody can settle it: whoever does stops the timer.
                self.time(runtime, &prompt.id, asker.workspace.clone());
                drop(book);
                self.put(runtime, prompt);
                self.ticket(place)
            }
        }
    }

    /// The questions that wait, the oldest first.
    pub(crate) fn prompts(&self) -> Vec<Prompt> {
        lock(&self.book).prompts().cloned().collect()
    }

    /// Takes an answer. It is remembered before anybody who waited goes on.
    pub(crate) fn take(&self, id: &PromptId, answer: PromptAnswer) -> Result<(), BridgeError> {
        let (outcome, remember, expires) = match answer {
            PromptAnswer::Allow { remember, expires_ms } => (PromptOutcome::Allowed, remember, expires_ms),
            // An answer of a kind that is not known here is a no.
            _ => (PromptOutcome::Denied, Remember::Once, None),
        };
        let workspace = lock(&self.timers).get(id).and_then(|(_, workspace)| workspace.clone());
        let Some(waiting) = lock(&self.book).settle(id, outcome) else { return Err(too_late(id)) };
        let remember = remember.min(waiting.prompt.remember);
        let prompt = waiting.prompt.clone();
        let kept = match outcome {
            PromptOutcome::Allowed => {
                self.grants.remember(&prompt, workspace.as_deref(), remember, expires.map(Duration::from_millis))
            }
            _ => Ok(()),
        };
        self.tell(waiting, outcome);
        if outcome == PromptOutcome::Allowed && remember > Remember::Once && kept.is_ok() {
            self.settle_granted(&prompt.vm_id, workspace.as_deref());
        }
        kept
    }

    /// Takes all back that waits for an execution that has ended.
    pub(crate) fn end(&self, execution: &ExecutionId) {
        let (waiters, prompts) = lock(&self.book).end(execution);
        for waiter in waiters {
            (waiter.call)(PromptOutcome::Cancelled);
        }
        for prompt in prompts {
            self.settled(&prompt.id, PromptOutcome::Cancelled);
        }
    }

    /// Takes all back that waits for a VM, and forgets what was granted to it.
    pub(crate) fn forget(&self, vm: &VmId) {
        self.grants.forget(vm);
        let own: Vec<PromptId> =
            lock(&self.book).prompts().filter(|one| one.vm_id == *vm).map(|one| one.id.clone()).collect();
        for id in own {
            self.settle(&id, PromptOutcome::Cancelled);
        }
    }

    /// The grants of a VM.
    pub(crate) fn grants(&self, vm: &VmId) -> Vec<Grant> {
        self.grants.of(vm)
    }

    /// Revokes a grant of a VM.
    pub(crate) fn revoke(&self, vm: &VmId, id: &GrantId) -> bool {
        self.grants.revoke(vm, id)
    }

    fn settle(&self, id: &PromptId, outcome: PromptOutcome) {
        let waiting = lock(&self.book).settle(id, outcome);
        if let Some(waiting) = waiting {
            self.tell(waiting, outcome);
        }
    }

    /// Calls everybody who waited. No lock is held: they may ask again.
    fn tell(&self, waiting: Waiting, outcome: PromptOutcome) {
        self.settled(&waiting.prompt.id, outcome);
        for waiter in waiting.waiters {
            (waiter.call)(outcome);
        }
    }

    fn settled(&self, id: &PromptId, outcome: PromptOutcome) {
        self.pending.settled(id, outcome);
        if let Some((timer, _)) = lock(&self.timers).remove(id) {
            timer.abort();
        }
        lock(&self.to_put).prompts.retain(|prompt| prompt.id != *id);
        if let Some(prompter) = &self.prompter {
            prompter.settled(id, outcome);
        }
    }

    /// A new grant may cover what waits already.
    fn settle_granted(&self, vm: &VmId, workspace: Option<&str>) {
        let waiting: Vec<Prompt> = lock(&self.book).prompts().filter(|one| one.vm_id == *vm).cloned().collect();
        for prompt in waiting {
            let question = &prompt.question;
            if self.grants.cover(vm, workspace, question.access, &question.subject) {
                self.settle(&prompt.id, PromptOutcome::Granted);
            }
        }
    }

    fn ticket(&self, place: Place) -> PromptTicket {
        let desk = self.me.clone();
        PromptTicket::new(move || {
            let Some(desk) = desk.upgrade() else { return };
            let taken = lock(&desk.book).take_back(place);
            let Some((waiter, prompt)) = taken else { return };
            (waiter.call)(PromptOutcome::Cancelled);
            if let Some(prompt) = prompt {
                desk.settled(&prompt.id, PromptOutcome::Cancelled);
            }
        })
    }

    fn time(&self, runtime: &Handle, id: &PromptId, workspace: Option<String>) {
        let (desk, own, limit) = (self.me.clone(), id.clone(), self.limit);
        let timer = runtime.spawn(async move {
            tokio::time::sleep(limit).await;
            if let Some(desk) = desk.upgrade() {
                desk.settle(&own, PromptOutcome::TimedOut);
            }
        });
        lock(&self.timers).insert(id.clone(), (timer.abort_handle(), workspace));
    }

    fn put(&self, runtime: &Handle, prompt: Prompt) {
        let mut to_put = lock(&self.to_put);
        to_put.prompts.push_back(prompt);
        if to_put.at_work {
            return;
        }
        to_put.at_work = true;
        drop(to_put);
        let desk = self.me.clone();
        runtime.spawn_blocking(move || {
            if let Some(desk) = desk.upgrade() {
                desk.put_all();
            }
        });
    }

    fn put_all(&self) {
        let Some(prompter) = &self.prompter else { return };
        // A prompter that panics must not keep later questions from being put.
        let _idle = Idle(&self.to_put);
        loop {
            let mut to_put = lock(&self.to_put);
            let Some(prompt) = to_put.prompts.pop_front() else {
                to_put.at_work = false;
                return;
            };
            drop(to_put);
            if let Some(desk) = self.me.upgrade().filter(|desk| desk.waits(&prompt.id)) {
                let reply = PromptReply::new(prompt.id.clone(), desk);
                prompter.ask(prompt, reply);
            }
        }
    }
}

/// Says that nobody puts questions any more.
struct Idle<'a>(&'a Mutex<ToPut>);

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            lock(self.0).at_work = false;
        }
    }
}

impl AnswerSink for PromptDesk {
    fn answer(&self, id: &PromptId, answer: PromptAnswer) -> Result<(), BridgeError> {
        self.take(id, answer)
    }

    fn waits(&self, id: &PromptId) -> bool {
        lock(&self.book).waits(id)
    }
}

fn too_late(id: &PromptId) -> BridgeError {
    let message = "this prompt waits no longer: it was answered, its time is up, or what asked has ended";
    BridgeError::new(ErrorCode::InvalidState, message).with("prompt_id", id.as_str())
}

/// Nothing here panics with a lock held and leaves something half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
