//! Turns: so many runs at once, of each VM and of all, and a fair queue for the rest.

use super::limits::GuardLimits;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::ids::VmId;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// The turns of one kernel.
#[derive(Clone)]
pub(super) struct Turns(Arc<Shared>);

struct Shared {
    running: usize,
    running_of_a_vm: usize,
    waiting: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: usize,
    of_vm: HashMap<VmId, usize>,
    /// Those who wait, VM by VM, in the order in which VMs have their next turn.
    queues: VecDeque<(VmId, VecDeque<oneshot::Sender<Turn>>)>,
    waiting: usize,
}

/// A run's turn. Dropping it gives it to the next.
pub(crate) struct Turn {
    /// None: it has been taken back already.
    of: Option<(Arc<Shared>, VmId)>,
    waited: bool,
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").field("waited", &self.waited).finish_non_exhaustive()
    }
}

impl Turn {
    /// Whether others were before it.
    pub(super) fn has_waited(&self) -> bool {
        self.waited
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some((shared, vm)) = self.of.take() {
            shared.give_back(&vm);
        }
    }
}

impl Turns {
    pub(super) fn new(limits: &GuardLimits) -> Self {
        let GuardLimits { running, running_of_a_vm, waiting, .. } = *limits;
        Self(Arc::new(Shared { running, running_of_a_vm, waiting, state: Mutex::default() }))
    }

    /// The next turn of `vm`, for which it waits for at most `longest`.
    ///
    /// # Errors
    /// `queue_full` and `deadline_exceeded`.
    pub(super) async fn next(&self, vm: &VmId, longest: Duration) -> Result<Turn, BridgeError> {
        let receiver = {
            let mut state = self.0.lock();
            // Those who gave up are nobody.
            for (_, queue) in &mut state.queues {
                queue.retain(|one| !one.is_closed());
            }
            state.queues.retain(|(_, queue)| !queue.is_empty());
            state.waiting = state.queues.iter().map(|(_, queue)| queue.len()).sum();
            let served = state.queues.iter().any(|(own, _)| own == vm);
            if !served && self.0.has_room(&state, vm) {
                state.begin(vm);
                return Ok(Turn { of: Some((self.0.clone(), vm.clone())), waited: false });
            }
            if state.waiting >= self.0.waiting {
                let message =
                    format!("{} runs wait for their turn already; try again when some have ended", state.waiting);
                let mut error = BridgeError::new(ErrorCode::QueueFull, message).with("limit", self.0.waiting as u64);
                error.retryable = true;
                return Err(error);
            }
            let (sender, receiver) = oneshot::channel();
            state.waiting += 1;
            match state.queues.iter_mut().find(|(own, _)| own == vm) {
                Some((_, queue)) => queue.push_back(sender),
                None => state.queues.push_back((vm.clone(), VecDeque::from([sender]))),
            }
            receiver
        };
        match tokio::time::timeout(longest, receiver).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => {
                let waited = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
                let message = format!("no turn came within {waited} ms: as many runs as may be are under way");
                let mut error = BridgeError::new(ErrorCode::DeadlineExceeded, message).with("limit_ms", waited);
                error.retryable = true;
                Err(error)
            }
        }
    }
}

impl State {
    fn begin(&mut self, vm: &VmId) {
        self.running += 1;
        *self.of_vm.entry(vm.clone()).or_default() += 1;
    }

    fn end(&mut self, vm: &VmId) {
        self.running = self.running.saturating_sub(1);
        if let Some(count) = self.of_vm.get_mut(vm) {
            *count -= 1;
            if *count == 0 {
                self.of_vm.remove(vm);
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self, state: &State, vm: &VmId) -> bool {
        state.running < self.running && state.of_vm.get(vm).is_none_or(|own| *own < self.running_of_a_vm)
    }

    fn give_back(self: &Arc<Self>, vm: &VmId) {
        let mut state = self.lock();
        state.end(vm);
        self.give_out(&mut state);
    }

    /// Gives what is free to those who wait, one VM after the other.
    fn give_out(self: &Arc<Self>, state: &mut State) {
        let mut passed = 0;
        while passed < state.queues.len() && state.running < self.running {
            let Some((vm, mut queue)) = state.queues.pop_front() else { return };
            let mut given = false;
            while !given && self.has_room(state, &vm) {
                let Some(next) = queue.pop_front() else { break };
                state.waiting = state.waiting.saturating_sub(1);
                state.begin(&vm);
                let turn = Turn { of: Some((self.clone(), vm.clone())), waited: true };
                match next.send(turn) {
                    Ok(()) => given = true,
                    // Whoever waited has gone: the turn goes on, and must not be given back on the way.
                    Err(mut turn) => {
                        turn.of = None;
                        state.end(&vm);
                    }
                }
            }
            passed = if given { 0 } else { passed + 1 };
            if !queue.is_empty() {
                state.queues.push_back((vm, queue));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::runtime::{Builder, Runtime};

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
    }

    fn vm(name: &str) -> VmId {
        VmId::new(name)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn one_vm_does_not_keep_others_waiting_behind_all_it_has() {
        let turns = Turns::new(&GuardLimits::default().most_running(1).most_waiting(100));
        runtime().block_on(async {
            let first = turns.next(&vm("a"), LONG).await.unwrap();
            let order = Arc::new(Mutex::new(Vec::new()));
            let tasks: Vec<_> = ["a", "a", "a", "b", "c", "b"]
                .into_iter()
                .map(|name| {
                    let (turns, order) = (turns.clone(), order.clone());
                    tokio::spawn(async move {
                        let turn = turns.next(&vm(name), LONG).await.unwrap();
                        assert!(turn.has_waited());
                        order.lock().unwrap().push(name);
                    })
                })
                .collect();
            tokio::task::yield_now().await;
            drop(first);
            for task in tasks {
                task.await.unwrap();
            }
            assert_eq!(*order.lock().unwrap(), ["a", "b", "c", "a", "b", "a"]);
            let state = turns.0.lock();
            assert_eq!((state.running, state.waiting, state.of_vm.len(), state.queues.len()), (0, 0, 0, 0));
        });
    }

    #[test]
    fn a_vm_at_its_limit_waits_and_others_go_on() {
        let turns = Turns::new(&GuardLimits::default().most_running_of_a_vm(1).most_running(2));
        runtime().block_on(async {
            let _own = turns.next(&vm("a"), LONG).await.unwrap();
            let late = turns.next(&vm("a"), Duration::from_secs(1)).await.unwrap_err();
            assert_eq!((late.code, late.retryable), (ErrorCode::DeadlineExceeded, true));
            let other = turns.next(&vm("b"), LONG).await.unwrap();
            assert!(!other.has_waited());
        });
    }

    #[test]
    fn a_full_queue_says_so_and_those_who_gave_up_are_not_in_it() {
        let turns = Turns::new(&GuardLimits::default().most_running(1).most_waiting(1));
        runtime().block_on(async {
            let own = turns.next(&vm("a"), LONG).await.unwrap();
            let gave_up = turns.next(&vm("b"), Duration::from_millis(1)).await.unwrap_err();
            assert_eq!(gave_up.code, ErrorCode::DeadlineExceeded);
            let waits = tokio::spawn({
                let turns = turns.clone();
                async move { turns.next(&vm("b"), LONG).await.map(drop) }
            });
            tokio::task::yield_now().await;
            let full = turns.next(&vm("c"), LONG).await.unwrap_err();
            assert_eq!((full.code, full.retryable), (ErrorCode::QueueFull, true));
            drop(own);
            waits.await.unwrap().unwrap();
        });
    }
}
