//! Who listens to the watches and timers of a plane in another process.

use cofferdam_bridge::clock::{ScheduledTimer, TimerSink};
use cofferdam_bridge::filesystem::{FileChange, WatchSink};
use cofferdam_bridge::ids::VmId;
use cofferdam_contract::wire::data::Data;
use cofferdam_contract::wire::fault::WireFault;
use cofferdam_contract::wire::typed::field;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So much of what comes before the answer that names its watch or timer is kept; the oldest goes first.
const MOST_EARLY: usize = 256;

/// A watch or a timer, as the plane names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Watch(u64),
    Timer(VmId, u64),
}

/// Who is to be told.
#[derive(Clone)]
pub(crate) enum Listener {
    Watch(Arc<dyn WatchSink>),
    Timer(Arc<dyn TimerSink>),
}

/// What was told.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    Changed(String, FileChange),
    Fired,
}

/// The listeners of one connection.
#[derive(Default)]
pub(crate) struct Listeners(Mutex<State>);

#[derive(Default)]
struct State {
    by_key: HashMap<Key, Listener>,
    /// Calls whose answer will name a watch or timer.
    expected: usize,
    early: VecDeque<(Key, Heard)>,
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listeners").finish_non_exhaustive()
    }
}

impl Listeners {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A watch or timer is about to be asked for. Each such call is followed by one of [`listen`](Self::listen) and
    /// [`give_up`](Self::give_up).
    pub(crate) fn expect(&self) {
        self.lock().expected += 1;
    }

    /// The answer has named it.
    pub(crate) fn listen(&self, key: &Key, listener: Listener) {
        let mut state = self.lock();
        state.by_key.insert(key.clone(), listener);
        let (own, others): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut state.early).into_iter().partition(|(early, _)| early == key);
        state.early = others;
        Self::less(&mut state);
        drop(state);
        for (key, heard) in own {
            self.tell(key, heard);
        }
    }

    /// It was refused.
    pub(crate) fn give_up(&self) {
        Self::less(&mut self.lock());
    }

    fn less(state: &mut State) {
        state.expected = state.expected.saturating_sub(1);
        if state.expected == 0 {
            state.early.clear();
        }
    }

    /// Nobody listens to it any more.
    pub(crate) fn forget(&self, key: &Key) {
        self.lock().by_key.remove(key);
    }

    /// Tells who listens. A timer fires once.
    pub(crate) fn tell(&self, key: Key, heard: Heard) {
        let mut state = self.lock();
        let Some(listener) = state.by_key.get(&key).cloned() else {
            if state.expected > 0 {
                state.early.push_back((key, heard));
                if state.early.len() > MOST_EARLY {
                    state.early.pop_front();
                }
            }
            return;
        };
        if matches!(heard, Heard::Fired) {
            state.by_key.remove(&key);
        }
        drop(state);
        match (listener, &key, heard) {
            (Listener::Watch(sink), Key::Watch(id), Heard::Changed(path, change)) => {
                if !sink.changed(*id, &path, change) {
                    self.forget(&key);
                }
            }
            (Listener::Timer(sink), Key::Timer(vm_id, id), Heard::Fired) => {
                sink.timer_fired(vm_id, ScheduledTimer::new(*id));
            }
            _ => {}
        }
    }

    /// Takes `filesystem.changed`.
    pub(crate) fn file_changed(&self, mut params: Data) -> Result<(), WireFault> {
        let key = Key::Watch(field(&mut params, "watch_id")?);
        let path = field(&mut params, "path")?;
        // A kind of change that a later release may have: whoever watches has to look at everything.
        let change = field(&mut params, "change").unwrap_or(FileChange::Overflow);
        self.tell(key, Heard::Changed(path, change));
        Ok(())
    }
}
