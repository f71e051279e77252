//! What must hold of questions whatever the host, the clock and the guests do: each request gets exactly one outcome, and the right one.

use super::book::{MOST, MOST_OF_A_VM};
use super::{Asker, PromptDesk};
use crate::recording::Recording;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::ids::{ExecutionId, GrantId, PromptId, VmId};
use cofferdam_bridge::prompt::{
    Grant, GrantStore, Prompt, PromptAccess, PromptAnswer, PromptOutcome, PromptQuestion, PromptReply, PromptTicket,
    Prompter, Remember,
};
use cofferdam_bridge::verdict::RuleRef;
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};

pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// A host that keeps what it is asked, and answers later.
#[derive(Clone, Default)]
pub(super) struct Later(pub(super) Arc<Mutex<Vec<(Prompt, PromptReply)>>>);

impl Prompter for Later {
    fn ask(&self, prompt: Prompt, reply: PromptReply) {
        self.0.lock().unwrap().push((prompt, reply));
    }
}

/// A store in memory.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Grant>>>);

impl GrantStore for Kept {
    fn grants(&self) -> Result<Vec<Grant>, BridgeError> {
        Ok(self.0.lock().unwrap().clone())
    }
    fn add(&self, mut grant: Grant, _: Option<u64>) -> Result<Grant, BridgeError> {
        let mut kept = self.0.lock().unwrap();
        grant.id = GrantId::new(format!("always-{}", kept.len()));
        kept.push(grant.clone());
        Ok(grant)
    }
    fn revoke(&self, id: &GrantId) -> Result<bool, BridgeError> {
        let mut kept = self.0.lock().unwrap();
        let before = kept.len();
        kept.retain(|grant| grant.id != *id);
        Ok(kept.len() < before)
    }
}

/// A runtime whose time stands still until everybody waits for it.
pub(super) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

fn desk(prompter: &Later, store: &Kept) -> Arc<PromptDesk> {
    PromptDesk::new(Some(Arc::new(prompter.clone())), Some(Arc::new(store.clone())), LIMIT, Recording::default())
}

pub(super) fn asker(vm: usize, execution: usize, remember: Remember) -> Asker {
    let execution = Some(ExecutionId::new(format!("vm-{vm}-run-{execution}")));
    Asker { vm: VmId::new(format!("vm-{vm}")), execution, workspace: Some("/w".to_owned()), session: None, remember }
}

fn question(subject: &str) -> PromptQuestion {
    PromptQuestion::new(PromptAccess::Write, subject, RuleRef::new("test", None, "prompt.filesystem.write"))
}

/// Outcomes by the number of the request; a second one of the same request is a failure.
#[derive(Clone, Default)]
pub(super) struct Outcomes(Arc<Mutex<HashMap<usize, PromptOutcome>>>);

impl Outcomes {
    pub(super) fn ask(&self, desk: &PromptDesk, number: usize, asker: &Asker, subject: &str) -> PromptTicket {
        let own = self.0.clone();
        let waiter = Box::new(move |outcome| assert_eq!(own.lock().unwrap().insert(number, outcome), None));
        desk.ask(&Handle::current(), asker, question(subject), |_| {}, waiter)
    }

    pub(super) fn of(&self, number: usize) -> Option<PromptOutcome> {
        self.0.lock().unwrap().get(&number).copied()
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

#[test]
fn a_thousand_prompts_are_answered_in_any_order_and_none_is_stuck() {
    let (prompter, store, outcomes) = (Later::default(), Kept::default(), Outcomes::default());
    let desk = desk(&prompter, &store);
    runtime().block_on(async {
        let ask =
            |number: usize| outcomes.ask(&desk, number, &asker(1, number, Remember::Once), &format!("/p/{number}"));
        let tickets: Vec<PromptTicket> = (0..1000).map(ask).collect();
        assert_eq!((desk.prompts().len(), outcomes.count()), (1000, 0));
        while prompter.0.lock().unwrap().len() < 1000 {
            tokio::task::yield_now().await;
        }
        // 7 and 1000 have no common divisor: each once, neighbours far apart.
        let replies: Vec<_> = prompter.0.lock().unwrap().drain(..).collect();
        for step in 0..1000 {
            let (prompt, reply) = &replies[step * 7 % 1000];
            let number: usize = prompt.question.subject.trim_start_matches("/p/").parse().unwrap();
            let answer = if number.is_multiple_of(3) { PromptAnswer::Deny } else { PromptAnswer::once() };
            reply.clone().answer(answer).unwrap();
            let expected = if number.is_multiple_of(3) { PromptOutcome::Denied } else { PromptOutcome::Allowed };
            assert_eq!(outcomes.of(number), Some(expected));
            assert!(reply.clone().answer(PromptAnswer::once()).is_err(), "a prompt is answered once");
        }
        drop(tickets);
        assert_eq!((desk.prompts().len(), outcomes.count()), (0, 1000));
    });
}

#[test]
fn no_answer_in_time_is_a_no_and_is_not_asked_again_by_the_same_run() {
    let (prompter, store, outcomes) = (Later::default(), Kept::default(), Outcomes::default());
    let desk = desk(&prompter, &store);
    runtime().block_on(async {
        let _ticket = outcomes.ask(&desk, 0, &asker(1, 1, Remember::Session), "/p");
        tokio::time::sleep(LIMIT + Duration::from_millis(1)).await;
        assert_eq!(outcomes.of(0), Some(PromptOutcome::TimedOut));
        let _again = outcomes.ask(&desk, 1, &asker(1, 1, Remember::Session), "/p");
        assert_eq!(outcomes.of(1), Some(PromptOutcome::Denied));
        let _other = outcomes.ask(&desk, 2, &asker(1, 2, Remember::Session), "/p");
        assert_eq!((outcomes.of(2), desk.prompts().len()), (None, 1));
    });
}

#[test]
fn identical_questions_are_answered_together_and_those_of_another_vm_are_not_identical() {
    let (prompter, store, outcomes) = (Later::default(), Kept::default(), Outcomes::default());
    let desk = desk(&prompter, &store);
    runtime().block_on(async {
        let _tickets: Vec<_> = [(0, 1, 1), (1, 1, 2), (2, 1, 1), (3, 2, 1)]
            .map(|(number, vm, run)| outcomes.ask(&desk, number, &asker(vm, run, Remember::Once), "/p"))
            .into();
        let [first, second] = desk.prompts().try_into().unwrap();
        desk.take(&first.id, PromptAnswer::session(), "test").unwrap();
        // The policy lets nothing be remembered, so an answer for the session holds for those who waited.
        assert_eq!(
            [0, 1, 2, 3].map(|number| outcomes.of(number)),
            [Some(PromptOutcome::Allowed); 3].into_iter().chain([None]).collect::<Vec<_>>()[..]
        );
        let _later = outcomes.ask(&desk, 4, &asker(1, 3, Remember::Once), "/p");
        assert_eq!((outcomes.of(4), desk.prompts().len()), (None, 2));
        desk.take(&second.id, PromptAnswer::Deny, "test").unwrap();
        assert_eq!(outcomes.of(3), Some(PromptOutcome::Denied));
    });
}

#[test]
fn grants_hold_as_long_as_was_said_and_can_be_taken_back() {
    let (prompter, store, outcomes) = (Later::default(), Kept::default(), Outcomes::default());
    let desk = desk(&prompter, &store);
    let vm = VmId::new("vm-1");
    let (own, always) = (asker(1, 1, Remember::Session), asker(1, 1, Remember::Always));
    runtime().block_on(async {
        let answer = |answer| desk.take(&desk.prompts()[0].id, answer, "test").unwrap();
        let _one = outcomes.ask(&desk, 0, &own, "/p/a");
        let _beneath = outcomes.ask(&desk, 1, &own, "/p/a/b");
        let ten = Some(10_000);
        answer(PromptAnswer::Allow { remember: Remember::Always, expires_ms: ten });
        // What waits and is covered now need not be asked about.
        assert_eq!((outcomes.of(0), outcomes.of(1)), (Some(PromptOutcome::Allowed), Some(PromptOutcome::Granted)));
        assert!(store.0.lock().unwrap().is_empty(), "the policy remembers for the session at most");
        let _covered = outcomes.ask(&desk, 2, &own, "/p/a/c");
        assert_eq!(outcomes.of(2), Some(PromptOutcome::Granted));
        tokio::time::sleep(Duration::from_secs(11)).await;
        let _expired = outcomes.ask(&desk, 3, &own, "/p/a/c");
        assert_eq!((outcomes.of(3), desk.grants(&vm).len()), (None, 0));
        answer(PromptAnswer::session());
        let grant = desk.grants(&vm).remove(0);
        assert!(desk.revoke(&own, &grant.id) && !desk.revoke(&own, &grant.id));
        let _revoked = outcomes.ask(&desk, 4, &always, "/p/a/c");
        assert_eq!(outcomes.of(4), None);
        answer(PromptAnswer::always());
        let _kept = outcomes.ask(&desk, 5, &own, "/p/a/c");
        assert_eq!(outcomes.of(5), Some(PromptOutcome::Granted));
        let id = store.grants().unwrap()[0].id.clone();
        // Another process may do so, while things run.
        assert!(store.revoke(&id).unwrap());
        let _gone = outcomes.ask(&desk, 6, &own, "/p/a/c");
        assert_eq!(outcomes.of(6), None);
        desk.forget(&vm);
        assert_eq!((outcomes.of(6), desk.prompts().len()), (Some(PromptOutcome::Cancelled), 0));
    });
}

#[test]
fn one_vm_fills_its_own_queue_and_not_that_of_others() {
    let (prompter, store, outcomes) = (Later::default(), Kept::default(), Outcomes::default());
    let desk = desk(&prompter, &store);
    runtime().block_on(async {
        let mut tickets = Vec::new();
        for number in 0..=MOST_OF_A_VM {
            tickets.push(outcomes.ask(&desk, number, &asker(1, 1, Remember::Once), &format!("/p/{number}")));
        }
        assert_eq!(outcomes.of(MOST_OF_A_VM), Some(PromptOutcome::QueueFull));
        tickets.push(outcomes.ask(&desk, MOST, &asker(2, 1, Remember::Once), "/p"));
        assert_eq!(outcomes.of(MOST), None);
        desk.end(&ExecutionId::new("vm-1-run-1"));
        assert_eq!((outcomes.count(), desk.prompts().len()), (MOST_OF_A_VM + 1, 1));
        drop(tickets);
        assert_eq!(outcomes.of(MOST), Some(PromptOutcome::Cancelled));
    });
}

#[test]
fn nobody_to_ask_is_a_no_at_once() {
    let desk = PromptDesk::new(None, None, LIMIT, Recording::default());
    runtime().block_on(async {
        let outcomes = Outcomes::default();
        let _ticket = outcomes.ask(&desk, 0, &asker(1, 1, Remember::Session), "/p");
        assert_eq!(outcomes.of(0), Some(PromptOutcome::NobodyToAsk));
    });
}

/// What may happen, with numbers that are taken modulo what there is.
#[derive(Clone, Debug)]
enum Happens {
    Ask { vm: usize, run: usize, subject: usize },
    Answer { prompt: usize, allow: bool, remember: Remember },
    TakeBack { request: usize },
    End { vm: usize, run: usize },
    Forget { vm: usize },
    Wait { seconds: u64 },
    Revoke { vm: usize },
}

fn happens() -> impl Strategy<Value = Happens> {
    let remember = prop::sample::select(vec![Remember::Once, Remember::Session]);
    prop_oneof![
        6 => (0..3_usize, 0..3_usize, 0..6_usize).prop_map(|(vm, run, subject)| Happens::Ask { vm, run, subject }),
        4 => (0..64_usize, any::<bool>(), remember)
            .prop_map(|(prompt, allow, remember)| Happens::Answer { prompt, allow, remember }),
        1 => (0..64_usize).prop_map(|request| Happens::TakeBack { request }),
        1 => (0..3_usize, 0..3_usize).prop_map(|(vm, run)| Happens::End { vm, run }),
        1 => (0..3_usize).prop_map(|vm| Happens::Forget { vm }),
        2 => (1..50_u64).prop_map(|seconds| Happens::Wait { seconds }),
        1 => (0..3_usize).prop_map(|vm| Happens::Revoke { vm }),
    ]
}

/// One request as the oracle knows it: no more than who waits for what until when.
struct Request {
    vm: usize,
    run: usize,
    subject: usize,
    /// Its prompt's time, in seconds from the beginning.
    until: u64,
    outcome: Option<PromptOutcome>,
}

/// A plain list that does the same slowly.
#[derive(Default)]
struct Oracle {
    requests: Vec<Request>,
    /// By VM and subject, in order.
    grants: Vec<(usize, usize)>,
    refused: Vec<(usize, usize, usize)>,
    now: u64,
}

impl Oracle {
    fn ask(&mut self, vm: usize, run: usize, subject: usize) {
        let outcome = if self.grants.contains(&(vm, subject)) {
            Some(PromptOutcome::Granted)
        } else if self.refused.contains(&(vm, run, subject)) {
            Some(PromptOutcome::Denied)
        } else {
            None
        };
        let same = self.requests.iter().find(|one| one.outcome.is_none() && (one.vm, one.subject) == (vm, subject));
        let until = same.map_or(self.now + LIMIT.as_secs(), |same| same.until);
        self.requests.push(Request { vm, run, subject, until, outcome });
    }

    fn settle(&mut self, outcome: PromptOutcome, of: impl Fn(&Request) -> bool) {
        for one in self.requests.iter_mut().filter(|one| one.outcome.is_none()) {
            if of(one) {
                one.outcome = Some(outcome);
                if matches!(outcome, PromptOutcome::Denied | PromptOutcome::TimedOut) {
                    self.refused.push((one.vm, one.run, one.subject));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_request_gets_the_outcome_that_a_plain_list_says(all in prop::collection::vec(happens(), 1..80)) {
        let (prompter, store, outcomes) = (Later::default(), Kept::default(), Outcomes::default());
        let desk = desk(&prompter, &store);
        let mut oracle = Oracle::default();
        runtime().block_on(async {
            let mut tickets: Vec<Option<PromptTicket>> = Vec::new();
            for one in all {
                match one {
                    Happens::Ask { vm, run, subject } => {
                        let own = asker(vm, run, Remember::Session);
                        // Siblings, none beneath another.
                        tickets.push(Some(outcomes.ask(&desk, tickets.len(), &own, &format!("/p/{subject}"))));
                        oracle.ask(vm, run, subject);
                    }
                    Happens::Answer { prompt, allow, remember } => {
                        let prompts = desk.prompts();
                        let Some(prompt) = prompts.get(prompt % prompts.len().max(1)) else { continue };
                        let answer = if allow { PromptAnswer::Allow { remember, expires_ms: None } } else { PromptAnswer::Deny };
                        desk.take(&prompt.id, answer, "test").unwrap();
                        let vm: usize = prompt.vm_id.as_str().trim_start_matches("vm-").parse().unwrap();
                        let subject: usize = prompt.question.subject.trim_start_matches("/p/").parse().unwrap();
                        let outcome = if allow { PromptOutcome::Allowed } else { PromptOutcome::Denied };
                        oracle.settle(outcome, |one| (one.vm, one.subject) == (vm, subject));
                        if allow && remember == Remember::Session {
                            oracle.grants.push((vm, subject));
                        }
                    }
                    Happens::TakeBack { request } => {
                        let at = request % tickets.len().max(1);
                        if let Some(ticket) = tickets.get_mut(at) {
                            drop(ticket.take());
                            let outcome = &mut oracle.requests[at].outcome;
                            *outcome = outcome.or(Some(PromptOutcome::Cancelled));
                        }
                    }
                    Happens::End { vm, run } => {
                        desk.end(&ExecutionId::new(format!("vm-{vm}-run-{run}")));
                        oracle.settle(PromptOutcome::Cancelled, |one| (one.vm, one.run) == (vm, run));
                        oracle.refused.retain(|one| (one.0, one.1) != (vm, run));
                    }
                    Happens::Forget { vm } => {
                        desk.forget(&VmId::new(format!("vm-{vm}")));
                        oracle.settle(PromptOutcome::Cancelled, |one| one.vm == vm);
                        oracle.grants.retain(|one| one.0 != vm);
                    }
                    Happens::Wait { seconds } => {
                        tokio::time::sleep(Duration::from_secs(seconds)).await;
                        // A time that has just come has passed, and its timer had its turn.
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        oracle.now += seconds;
                        let now = oracle.now;
                        oracle.settle(PromptOutcome::TimedOut, |one| one.until <= now);
                    }
                    Happens::Revoke { vm } => {
                        let id = VmId::new(format!("vm-{vm}"));
                        if let Some(grant) = desk.grants(&id).first() {
                            assert!(desk.revoke(&asker(vm, 0, Remember::Session), &grant.id));
                            let at = oracle.grants.iter().position(|one| one.0 == vm).unwrap();
                            oracle.grants.remove(at);
                        }
                    }
                }
                for (number, request) in oracle.requests.iter().enumerate() {
                    assert_eq!(outcomes.of(number), request.outcome, "request {number}");
                }
            }
            drop(tickets);
            // Nothing is stuck: whoever still waited was told.
            assert_eq!((outcomes.count(), desk.prompts().len()), (oracle.requests.len(), 0));
        });
    }
}

#[test]
fn a_number_that_was_never_given_is_no_prompt() {
    let (prompter, store) = (Later::default(), Kept::default());
    let desk = desk(&prompter, &store);
    for id in ["prompt-1", "", "prompt-x", "1"] {
        assert!(desk.take(&PromptId::new(id), PromptAnswer::always(), "test").is_err());
    }
}
