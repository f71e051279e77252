//! What a run used, as its launcher read it from the kernel and told it with the program's end.

use crate::format::message::{VALUES, account};
use cofferdam_bridge::usage::Usage;
use cofferdam_plane_kit::process::Resources;

/// The values of the launcher's last message. `None`: the kernel does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    user_us: Option<u64>,
    system_us: Option<u64>,
    peak_bytes: Option<u64>,
    read_bytes: Option<u64>,
    written_bytes: Option<u64>,
    tasks: Option<u64>,
    stored_bytes: Option<u64>,
}

impl Account {
    /// Reads the values of a message of an end.
    pub(crate) fn of(values: &[u64; VALUES]) -> Self {
        let value = |place: usize| values.get(place).copied().filter(|value| *value != u64::MAX);
        Self {
            user_us: value(account::USER),
            system_us: value(account::SYSTEM),
            peak_bytes: value(account::PEAK),
            read_bytes: value(account::READ),
            written_bytes: value(account::WRITTEN),
            tasks: value(account::TASKS),
            stored_bytes: value(account::STORED),
        }
    }

    /// Adds what is only known once the sandbox's first process was reaped: all that it waited for, and itself. Not the peak of memory:
    /// before it executed the launcher, that process shared the memory of the host (clone(2), `CLONE_VM`), which counts as its own.
    pub(crate) fn reaped(&mut self, resources: Resources) {
        self.user_us = Some(resources.user_us);
        self.system_us = Some(resources.system_us);
    }

    /// Peak resident memory of the largest process, in bytes.
    pub(crate) fn peak_bytes(&self) -> Option<u64> {
        self.peak_bytes
    }

    /// Bytes that were to go to storage.
    pub(crate) fn stored_bytes(&self) -> Option<u64> {
        self.stored_bytes
    }

    /// Writes it into a result.
    pub(crate) fn into_usage(self, usage: &mut Usage) {
        usage.user_us = self.user_us;
        usage.system_us = self.system_us;
        usage.peak_memory_bytes = self.peak_bytes;
        usage.read_bytes = self.read_bytes;
        usage.written_bytes = self.written_bytes;
        usage.tasks = self.tasks;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_stays_unknown() {
        let mut values = [u64::MAX; VALUES];
        values[account::READ] = 7;
        let mut usage = Usage::default();
        Account::of(&values).into_usage(&mut usage);
        assert_eq!((usage.read_bytes, usage.written_bytes, usage.tasks, usage.user_us), (Some(7), None, None, None));
    }
}
