//! Where all questions of a kernel come together: puts them to the host, holds their time, and tells everybody who waits.

use super::book::{Asked, Book, Place, Waiting};
use super::session_grants::Grants;
use super::uses::Uses;
use crate::recording::{Asking, Recording, Settled};
use crate::telemetry;
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
use tokio::time::Instant;

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) vm: VmId,
    pub(crate) execution: Option<ExecutionId>,
    pub(crate) workspace: Option<String>,
    /// The session that records name.
    pub(crate) session: Option<String>,
    /// The longest that an answer may hold.
    pub(crate) remember: Remember,
}

impl Asker {
    fn asking(&self) -> Asking<'_> {
        Asking { vm: &self.vm, session: self.session.as_deref(), execution: self.execution.as_ref() }
    }
}

/// What is known of a question that waits, beside what the host is told.
struct Pending {
    timer: AbortHandle,
    asker: Asker,
    since: Instant,
}

/// The questions of one kernel.
pub(crate) struct PromptDesk {
    me: Weak<Self>,
    book: Mutex<Book>,
    pending: Mutex<HashMap<PromptId, Pending>>,
    grants: Grants,
    uses: Uses,
    recording: Recording,
    prompter: Option<Arc<dyn Prompter>>,
    to_put: Mutex<ToPut>,
    limit: Duration,
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
    /// A desk that asks `prompter`, waits for `limit`, keeps what holds for always in `store`, and has all of it recorded.
    pub(crate) fn new(
        prompter: Option<Arc<dyn Prompter>>,
        store: Option<Arc<dyn GrantStore>>,
        limit: Duration,
        recording: Recording,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            book: Mutex::default(),
            pending: Mutex::default(),
            grants: Grants::new(store),
            uses: Uses::default(),
            recording,
            prompter,
            to_put: Mutex::default(),
            limit,
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
        let listeners = &self.recording.listeners;
        telemetry::asked(listeners, question.access);
        let (access, subject) = (question.access, question.subject.as_str());
        if let Some(grant) = self.grants.covering(&asker.vm, asker.workspace.as_deref(), access, subject) {
            waiter(self.used(asker, &grant, &question));
            return PromptTicket::settled();
        }
        if self.prompter.is_none() {
            waiter(PromptOutcome::NobodyToAsk);
            return PromptTicket::settled();
        }
        let limit = u64::try_from(self.limit.as_millis()).unwrap_or(u64::MAX);
        // The host's word, too: not under a lock.
        let trace = listeners.trace();
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
                // Before anybody can settle it: whoever does stops the timer, and is recorded behind the question.
                self.time(runtime, &prompt.id, asker.clone());
                self.recording.prompted(asker.asking(), &prompt, trace);
                drop(book);
                // The host's sink may ask the kernel what waits: no lock is held here.
                telemetry::put(listeners, access);
                self.put(runtime, prompt);
                self.ticket(place)
            }
        }
    }

    /// The questions that wait, the oldest first.
    pub(crate) fn prompts(&self) -> Vec<Prompt> {
        lock(&self.book).prompts().cloned().collect()
    }

    /// Takes an answer, which `by` gives. It is on record and remembered before anybody who waited goes on.
    pub(crate) fn take(&self, id: &PromptId, answer: PromptAnswer, by: &str) -> Result<(), BridgeError> {
        let (outcome, remember, expires) = match answer {
            PromptAnswer::Allow { remember, expires_ms } => (PromptOutcome::Allowed, remember, expires_ms),
            // An answer of a kind that is not known here is a no.
            _ => (PromptOutcome::Denied, Remember::Once, None),
        };
        let Some(waiting) = lock(&self.book).settle(id, outcome) else { return Err(too_late(id)) };
        let pending = self.close(id);
        let remember = remember.min(waiting.prompt.remember);
        if let Err(error) = self.record(pending.as_ref(), &waiting, outcome, (by, Some(remember))) {
            self.tell(waiting, PromptOutcome::Unrecorded);
            return Err(error);
        }
        let prompt = waiting.prompt.clone();
        let kept = match outcome {
            PromptOutcome::Allowed => self.keep(pending.as_ref(), &prompt, (remember, expires)),
            _ => Ok(false),
        };
        self.tell(waiting, outcome);
        if let Ok(true) = kept {
            self.settle_granted(&prompt.vm_id, pending.as_ref().and_then(|pending| pending.asker.workspace.as_deref()));
        }
        kept.map(drop)
    }

    /// Takes all back that waits for an execution that has ended.
    pub(crate) fn end(&self, execution: &ExecutionId) {
        self.uses.forget(execution);
        let (waiters, prompts) = lock(&self.book).end(execution);
        for waiter in waiters {
            (waiter.call)(PromptOutcome::Cancelled);
        }
        for prompt in prompts {
            self.cancelled(&prompt);
        }
    }

    /// Takes all back that waits for a VM, and forgets what was granted to it.
    pub(crate) fn forget(&self, vm: &VmId) {
        self.grants.forget(vm);
        let own: Vec<PromptId> =
            lock(&self.book).prompts().filter(|one| one.vm_id == *vm).map(|one| one.id.clone()).collect();
        for id in own {
            self.settle(&id, PromptOutcome::Cancelled, "cancelled");
        }
    }

    /// The grants of a VM.
    pub(crate) fn grants(&self, vm: &VmId) -> Vec<Grant> {
        self.grants.of(vm)
    }

    /// Revokes a grant of `asker`'s VM.
    pub(crate) fn revoke(&self, asker: &Asker, id: &GrantId) -> bool {
        let revoked = self.grants.revoke(&asker.vm, id);
        if let Some(grant) = &revoked {
            self.recording.revoked(asker.asking(), grant, "revoked");
        }
        revoked.is_some()
    }

    /// What comes of a question that `grant` covers. Each run has the first use of each grant on record.
    fn used(&self, asker: &Asker, grant: &Grant, question: &PromptQuestion) -> PromptOutcome {
        if !self.uses.is_first(asker.execution.as_ref(), &grant.id) {
            return PromptOutcome::Granted;
        }
        match self.recording.grant_used(asker.asking(), grant, question) {
            Ok(()) => {
                self.uses.note(asker.execution.as_ref(), &grant.id);
                PromptOutcome::Granted
            }
            Err(_) => PromptOutcome::Unrecorded,
        }
    }

    /// Remembers a yes; answers whether it is remembered. What cannot be recorded is not.
    fn keep(
        &self,
        pending: Option<&Pending>,
        prompt: &Prompt,
        (remember, expires_ms): (Remember, Option<u64>),
    ) -> Result<bool, BridgeError> {
        let Some(Pending { asker, .. }) = pending else { return Ok(false) };
        let expires = expires_ms.map(Duration::from_millis);
        let Some(grant) = self.grants.remember(prompt, asker.workspace.as_deref(), remember, expires)? else {
            return Ok(false);
        };
        if let Err(error) = self.recording.granted(asker.asking(), prompt, &grant, (remember, expires_ms)) {
            self.grants.unmake(&asker.vm, &grant)?;
            self.recording.revoked(asker.asking(), &grant, "unrecorded");
            return Err(error);
        }
        Ok(true)
    }

    /// Settles a question that nobody answered, by `by`.
    fn settle(&self, id: &PromptId, outcome: PromptOutcome, by: &str) {
        let Some(waiting) = lock(&self.book).settle(id, outcome) else { return };
        let pending = self.close(id);
        let recorded = self.record(pending.as_ref(), &waiting, outcome, (by, None));
        self.tell(waiting, if recorded.is_ok() { outcome } else { PromptOutcome::Unrecorded });
    }

    /// Nobody waits for the answer to `prompt` any more.
    fn cancelled(&self, prompt: &Prompt) {
        let waiting = Waiting { prompt: prompt.clone(), waiters: Vec::new() };
        // What was taken back is no yes, whether or not that is recorded.
        let _ = self.record(self.close(&prompt.id).as_ref(), &waiting, PromptOutcome::Cancelled, ("cancelled", None));
        self.tell(waiting, PromptOutcome::Cancelled);
    }

    /// Stops the time of a question that waits no longer, and answers what was known of it.
    fn close(&self, id: &PromptId) -> Option<Pending> {
        let pending = lock(&self.pending).remove(id)?;
        pending.timer.abort();
        Some(pending)
    }

    fn record(
        &self,
        pending: Option<&Pending>,
        waiting: &Waiting,
        outcome: PromptOutcome,
        (by, lasts): (&str, Option<Remember>),
    ) -> Result<(), BridgeError> {
        let Some(Pending { asker, since, .. }) = pending else { return Ok(()) };
        telemetry::settled(&self.recording.listeners, waiting.prompt.question.access, outcome, since.elapsed());
        // The last one who took its question back is not among those who wait.
        let requests = waiting.waiters.len().max(1);
        let settled = Settled { outcome, by, lasts, waited: since.elapsed(), requests };
        self.recording.answered(asker.asking(), &waiting.prompt, &settled)
    }

    /// Calls everybody who waited. No lock is held: they may ask again.
    fn tell(&self, waiting: Waiting, outcome: PromptOutcome) {
        lock(&self.to_put).prompts.retain(|prompt| prompt.id != waiting.prompt.id);
        if let Some(prompter) = &self.prompter {
            prompter.settled(&waiting.prompt.id, outcome);
        }
        for waiter in waiting.waiters {
            (waiter.call)(outcome);
        }
    }

    /// A new grant may cover what waits already.
    fn settle_granted(&self, vm: &VmId, workspace: Option<&str>) {
        let waiting: Vec<Prompt> = lock(&self.book).prompts().filter(|one| one.vm_id == *vm).cloned().collect();
        for prompt in waiting {
            let question = &prompt.question;
            if self.grants.covering(vm, workspace, question.access, &question.subject).is_some() {
                self.settle(&prompt.id, PromptOutcome::Granted, "grant");
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
                desk.cancelled(&prompt);
            }
        })
    }

    fn time(&self, runtime: &Handle, id: &PromptId, asker: Asker) {
        let (desk, own, limit) = (self.me.clone(), id.clone(), self.limit);
        let timer = runtime.spawn(async move {
            tokio::time::sleep(limit).await;
            if let Some(desk) = desk.upgrade() {
                desk.settle(&own, PromptOutcome::TimedOut, "time_limit");
            }
        });
        let pending = Pending { timer: timer.abort_handle(), asker, since: Instant::now() };
        lock(&self.pending).insert(id.clone(), pending);
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
        self.take(id, answer, self.prompter.as_ref().map_or("host", |prompter| prompter.name()))
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
