//! Filters on top of the first one, for profiles that refuse more. Of two filters the stricter answer holds (seccomp(2)).
//!
//! A profile is in force before its program is executed, so the one call that executes it must pass and no later one may. It carries a
//! secret in registers that execve(2) does not use: 128 random bits, made for each run and written into the filter. The kernel
//! clears the registers of what it executes, and shows a filter to nobody without capabilities outside.

use super::super::variant::{Profile, Variant};
use super::architecture::Architecture;
use super::bpf::{self, Block, BpfInstruction, ENOSYS, EPERM, Test, Verdict};
use super::rules;
use super::{by_number, leaves, table};

/// Stand in the built filter where a start puts its secret.
pub(crate) const SECRET: [u32; 4] = [0x5ec2_e701, 0x5ec2_e702, 0x5ec2_e703, 0x5ec2_e704];

const CLONE_THREAD: u32 = 0x0001_0000;

/// The filter of `profile` for `architecture`.
pub(crate) fn compile(architecture: Architecture, profile: Profile) -> Vec<BpfInstruction> {
    let mut verdicts = match profile {
        Profile::NoExec => super::named_calls().map(|call| (call, Block::plainly(Verdict::Allow))).collect(),
        Profile::Compute => compute(),
    };
    let ours = Test::all_of(3, &SECRET, Verdict::Allow);
    verdicts.insert("execve", Block::new(vec![ours], Verdict::Errno(EPERM)));
    verdicts.insert("execveat", Block::plainly(Verdict::Errno(EPERM)));
    bpf::filter(architecture.audit(), &leaves(&by_number(architecture, &verdicts)), ENOSYS)
}

/// Where in the built filter each word of the secret goes, in instructions. Each stands there once.
pub(crate) fn places(code: &[BpfInstruction]) -> Option<[usize; 4]> {
    let mut places = [0; 4];
    for (place, word) in places.iter_mut().zip(SECRET) {
        let mut found = code.iter().enumerate().filter(|(_, instruction)| instruction.k == word);
        *place = found.next()?.0;
        if found.next().is_some() {
            return None;
        }
    }
    Some(places)
}

/// What is refused anyway keeps its answer, since a libc goes by it; what is not on the list of the profile is refused.
fn compute() -> std::collections::BTreeMap<&'static str, Block> {
    let mut verdicts = super::verdicts(Variant::ALL[0]);
    for block in verdicts.values_mut() {
        if !block.refuses_plainly() {
            *block = Block::plainly(Verdict::Errno(EPERM));
        }
    }
    let allowed = table::COMPUTE.iter().flat_map(|group| group.calls);
    verdicts.extend(allowed.map(|call| (*call, Block::plainly(Verdict::Allow))));
    // A thread shares everything; what does not is a process.
    let process = Test::no_bits(0, CLONE_THREAD, EPERM);
    verdicts.insert("clone", Block::new(vec![process], Verdict::Allow));
    for (call, flags) in [("open", 1), ("openat", 2)] {
        verdicts.insert(call, Block::new(vec![Test::any_bits(flags, rules::CHANGING_OPEN, EPERM)], Verdict::Allow));
    }
    verdicts
}
