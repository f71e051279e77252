//! Which questions wait, and for whom. No time passes in it and nobody is called: it answers what is to be done.

use cofferdam_bridge::ids::{ExecutionId, PromptId, VmId};
use cofferdam_bridge::prompt::{Prompt, PromptAccess, PromptOutcome, PromptQuestion, PromptWaiter, Remember};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Questions that may wait in all.
pub(super) const MOST: usize = 4096;

/// Questions of one VM that may wait, so that one cannot fill the queue of all.
pub(super) const MOST_OF_A_VM: usize = 1024;

/// Requests that may wait for one answer.
const MOST_WAITERS: usize = 1024;

/// Refused questions that are remembered of one execution. Whatever it asks beyond that is refused.
const MOST_REFUSED: usize = 4096;

/// Questions that one execution may put in all, whatever becomes of them: each has its place in the log, and the log's room is everybody's.
pub(super) const MOST_OF_AN_EXECUTION: usize = 8192;

/// The same question: whoever asks it again gets the same answer.
type Key = (VmId, PromptAccess, String);

/// The questions that wait.
#[derive(Default)]
pub(super) struct Book {
    prompts: BTreeMap<u64, Waiting>,
    numbers: HashMap<Key, u64>,
    of_vm: HashMap<VmId, usize>,
    /// What was refused, so that an execution that asks on and on is not put to the host on and on.
    refused: HashMap<ExecutionId, HashSet<(PromptAccess, String)>>,
    put: HashMap<ExecutionId, usize>,
    last_prompt: u64,
    last_waiter: u64,
}

/// A question and those who wait for it.
pub(super) struct Waiting {
    pub(super) prompt: Prompt,
    pub(super) waiters: Vec<Waiter>,
}

/// One request that waits.
pub(super) struct Waiter {
    number: u64,
    pub(super) execution: Option<ExecutionId>,
    pub(super) call: PromptWaiter,
}

/// What becomes of a question.
pub(super) enum Asked {
    /// It is put to the host.
    Put { prompt: Prompt, place: Place },
    /// It is waited for already.
    Joined { prompt: Prompt, place: Place },
    /// It is settled at once.
    Settled(PromptOutcome, PromptWaiter),
}

/// Where a waiter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    prompt: u64,
    waiter: u64,
}

impl Book {
    /// Takes a question of `execution` in `vm`.
    pub(super) fn ask(
        &mut self,
        (vm, execution): (&VmId, Option<&ExecutionId>),
        question: PromptQuestion,
        (remember, limit_ms): (Remember, u64),
        call: PromptWaiter,
    ) -> Asked {
        if execution.is_some_and(|execution| self.was_refused(execution, &question)) {
            return Asked::Settled(PromptOutcome::Denied, call);
        }
        let key = (vm.clone(), question.access, question.subject.clone());
        self.last_waiter += 1;
        let waiter = Waiter { number: self.last_waiter, execution: execution.cloned(), call };
        if let Some(number) = self.numbers.get(&key).copied()
            && let Some(waiting) = self.prompts.get_mut(&number)
        {
            if waiting.waiters.len() >= MOST_WAITERS {
                return Asked::Settled(PromptOutcome::QueueFull, waiter.call);
            }
            let place = Place { prompt: number, waiter: waiter.number };
            waiting.waiters.push(waiter);
            return Asked::Joined { prompt: waiting.prompt.clone(), place };
        }
        let put = execution.and_then(|execution| self.put.get(execution)).copied().unwrap_or(0);
        let count = self.of_vm.get(vm).copied().unwrap_or(0);
        if self.prompts.len() >= MOST || count >= MOST_OF_A_VM || put >= MOST_OF_AN_EXECUTION {
            return Asked::Settled(PromptOutcome::QueueFull, waiter.call);
        }
        if let Some(execution) = execution {
            self.put.insert(execution.clone(), put + 1);
        }
        self.of_vm.insert(vm.clone(), count + 1);
        self.last_prompt += 1;
        let number = self.last_prompt;
        let mut prompt = Prompt::new(id(number), vm.clone(), question, remember, limit_ms);
        prompt.execution_id = execution.cloned();
        let place = Place { prompt: number, waiter: waiter.number };
        self.numbers.insert(key, number);
        self.prompts.insert(number, Waiting { prompt: prompt.clone(), waiters: vec![waiter] });
        Asked::Put { prompt, place }
    }

    /// Takes a question out of the book: whoever gets it calls its waiters. A refusal is remembered.
    pub(super) fn settle(&mut self, id: &PromptId, outcome: PromptOutcome) -> Option<Waiting> {
        let waiting = self.remove(number(id)?)?;
        if matches!(outcome, PromptOutcome::Denied | PromptOutcome::TimedOut) {
            let Prompt { question, .. } = &waiting.prompt;
            for execution in waiting.waiters.iter().filter_map(|waiter| waiter.execution.as_ref()) {
                let refused = self.refused.entry(execution.clone()).or_default();
                if refused.len() <= MOST_REFUSED {
                    refused.insert((question.access, question.subject.clone()));
                }
            }
        }
        Some(waiting)
    }

    /// Takes one waiter back. With the last one the question goes, too, and is handed out second.
    pub(super) fn take_back(&mut self, place: Place) -> Option<(Waiter, Option<Prompt>)> {
        let waiting = self.prompts.get_mut(&place.prompt)?;
        let at = waiting.waiters.iter().position(|waiter| waiter.number == place.waiter)?;
        let waiter = waiting.waiters.swap_remove(at);
        let last = waiting.waiters.is_empty();
        Some((waiter, last.then(|| self.remove(place.prompt)).flatten().map(|waiting| waiting.prompt)))
    }

    /// Takes all back that waits for `execution`, and forgets what it asked and was refused.
    pub(super) fn end(&mut self, execution: &ExecutionId) -> (Vec<Waiter>, Vec<Prompt>) {
        self.refused.remove(execution);
        self.put.remove(execution);
        let own = |waiter: &Waiter| waiter.execution.as_ref() == Some(execution);
        let places: Vec<Place> = self
            .prompts
            .iter()
            .flat_map(|(prompt, waiting)| waiting.waiters.iter().map(move |waiter| (*prompt, waiter)))
            .filter(|(_, waiter)| own(waiter))
            .map(|(prompt, waiter)| Place { prompt, waiter: waiter.number })
            .collect();
        let (mut waiters, mut prompts) = (Vec::new(), Vec::new());
        for (waiter, prompt) in places.into_iter().filter_map(|place| self.take_back(place)) {
            waiters.push(waiter);
            prompts.extend(prompt);
        }
        (waiters, prompts)
    }

    /// Whether a question waits.
    pub(super) fn waits(&self, id: &PromptId) -> bool {
        number(id).is_some_and(|number| self.prompts.contains_key(&number))
    }

    /// All questions that wait, in the order in which they were asked.
    pub(super) fn prompts(&self) -> impl Iterator<Item = &Prompt> {
        self.prompts.values().map(|waiting| &waiting.prompt)
    }

    fn was_refused(&self, execution: &ExecutionId, question: &PromptQuestion) -> bool {
        self.refused.get(execution).is_some_and(|refused| {
            refused.len() > MOST_REFUSED || refused.contains(&(question.access, question.subject.clone()))
        })
    }

    fn remove(&mut self, number: u64) -> Option<Waiting> {
        let waiting = self.prompts.remove(&number)?;
        let Prompt { vm_id, question, .. } = &waiting.prompt;
        self.numbers.remove(&(vm_id.clone(), question.access, question.subject.clone()));
        if let Some(count) = self.of_vm.get_mut(vm_id) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.of_vm.remove(vm_id);
            }
        }
        Some(waiting)
    }
}

fn id(number: u64) -> PromptId {
    PromptId::new(format!("prompt-{number}"))
}

fn number(id: &PromptId) -> Option<u64> {
    id.as_str().strip_prefix("prompt-")?.parse().ok()
}
