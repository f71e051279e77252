//! What was asked for in vain, gathered while a run goes on and looked into when it has ended.
//!
//! Nothing is looked up on the host while the guest could measure how long that takes.

use super::caller::{program_of, program_path_of};
use std::collections::BTreeMap;

/// As many distinct attempts as are kept. A guest that makes more fills no memory of the host's; a line is missing then.
const MOST: usize = 4096;

/// As many programs as are told apart.
pub(super) const MOST_PROGRAMS: usize = 8;

/// What a call wanted of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Want {
    /// To know about it, or to go there.
    Look,
    /// The same, of a link itself.
    LookAtLink,
    /// To read or list it.
    Read,
    /// To change what is there.
    Change,
    /// To write to it, and to make it where it is not there.
    Create,
    /// To give the name to something new.
    Make,
    /// To take the name away.
    Remove,
    /// To run it.
    Execute,
    /// To reach who listens there.
    Connect,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sought {
    /// A path, as the guest's root directory sees it.
    Path { want: Want, absolute: Vec<u8> },
    /// An address of the network.
    Address { address: std::net::IpAddr, port: u16 },
    /// An abstract name, unix(7).
    AbstractName(Vec<u8>),
    /// A call that the filter refuses.
    Call { name: &'static str, detail: Option<&'static str> },
}

/// Who asked, how, and how often.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// Which distinct attempt of the run this was.
    pub(super) order: usize,
    /// The path as the program named it.
    pub(super) asked: Vec<u8>,
    /// The first call that asked.
    pub(super) operation: &'static str,
    pub(super) program: Option<String>,
    pub(super) program_path: Option<String>,
    pub(super) times: u64,
    /// Each program by its name, and how often it asked.
    pub(super) programs: BTreeMap<String, u64>,
}

impl Attempt {
    fn count(&mut self, program: Option<String>) {
        let Some(program) = program else { return };
        if self.programs.len() < MOST_PROGRAMS || self.programs.contains_key(&program) {
            let times = self.programs.entry(program).or_default();
            *times = times.saturating_add(1);
        }
    }
}

/// The attempts of one run.
#[derive(Debug, Default)]
pub(super) struct Attempts(BTreeMap<Sought, Attempt>);

impl Attempts {
    /// Notes that `thread` asked in vain, by the call `operation` and in the words `asked`.
    pub(super) fn note(&mut self, thread: i32, sought: Sought, operation: &'static str, asked: &[u8]) {
        let program = program_of(thread);
        if let Some(known) = self.0.get_mut(&sought) {
            known.times = known.times.saturating_add(1);
            known.count(program);
            return;
        }
        if self.0.len() >= MOST {
            return;
        }
        let mut attempt = Attempt {
            order: self.0.len(),
            asked: asked.to_vec(),
            operation,
            program: program.clone(),
            program_path: program_path_of(thread),
            times: 1,
            programs: BTreeMap::new(),
        };
        attempt.count(program);
        self.0.insert(sought, attempt);
    }

    /// All of them, in the order in which they first happened.
    pub(super) fn take(&mut self) -> Vec<(Sought, Attempt)> {
        let mut all: Vec<_> = std::mem::take(&mut self.0).into_iter().collect();
        all.sort_by_key(|(_, attempt)| attempt.order);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_often_is_counted_and_what_is_endless_is_bounded() {
        let mut attempts = Attempts::default();
        let path = |number: usize| Sought::Path { want: Want::Read, absolute: format!("/x/{number}").into_bytes() };
        for number in 0..MOST * 2 {
            attempts.note(0, path(number), "openat", b"x");
            attempts.note(0, path(0), "openat", b"x");
        }
        let all = attempts.take();
        assert_eq!((all.len(), all[0].1.times), (MOST, MOST as u64 * 2 + 1));
    }
}
