//! The system call filter: a reviewed table (`table`), rules about arguments (`rules`), compiled to classic BPF (`bpf`).

mod bpf;
mod call_name;
mod observed;
mod rules;
mod table;
#[cfg(test)]
mod tests;
mod without_namespaces;

pub(crate) use bpf::{BpfInstruction, Verdict};
pub(crate) use call_name::call_name;
pub(crate) use observed::{PlainVerdicts, is_observed};
pub(crate) use rules::{FilterOptions, SYS_FCHMODAT2};

use bpf::{Block, Errno};
use cofferdam_bridge::enforcement::Tier;
use std::collections::BTreeMap;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

const ENOSYS: Errno = Errno(libc::ENOSYS as u16);
const EPERM: Errno = Errno(libc::EPERM as u16);

/// The filter for `options`.
pub(crate) fn compile(options: &FilterOptions) -> Vec<BpfInstruction> {
    bpf::filter(ARCHITECTURE, &leaves(&verdicts(options)), ENOSYS)
}

/// A filter that asks so much that refusals can be explained, and the verdicts that hold all the same.
pub(crate) fn compile_asking(options: &FilterOptions) -> (Vec<BpfInstruction>, PlainVerdicts) {
    let plain = verdicts(options);
    (bpf::filter(ARCHITECTURE, &leaves(&observed::asking(&plain)), ENOSYS), PlainVerdicts(plain))
}

/// What becomes of each known call; calls that are not named are absent.
fn verdicts(options: &FilterOptions) -> BTreeMap<u32, Block> {
    let mut verdicts = BTreeMap::new();
    let groups = [
        (table::ALLOWED, Verdict::Allow),
        (table::ALLOWED_HERE, Verdict::Allow),
        (table::REFUSED, Verdict::Errno(EPERM)),
        (table::ABSENT, Verdict::Errno(ENOSYS)),
    ];
    let mut set = |call: libc::c_long, block: Block| {
        if let Ok(number) = u32::try_from(call) {
            verdicts.insert(number, block);
        }
    };
    for (groups, verdict) in groups {
        for call in groups.iter().flat_map(|group| group.calls) {
            set(*call, Block::new(Vec::new(), verdict));
        }
    }
    let tracing = if options.tier == Tier::Full { Verdict::Allow } else { Verdict::Errno(EPERM) };
    for call in table::TRACING {
        set(*call, Block::new(Vec::new(), tracing));
    }
    for (call, block) in rules::rules(options) {
        set(call, block);
    }
    verdicts
}

/// Neighbours with the same plain verdict become one leaf; gaps become leaves that answer ENOSYS.
fn leaves(verdicts: &BTreeMap<u32, Block>) -> Vec<(u32, Block)> {
    let absent = Block::new(Vec::new(), Verdict::Errno(ENOSYS));
    let mut leaves: Vec<(u32, Block)> = vec![(0, absent.clone())];
    let mut add = |first: u32, block: Block| match leaves.last_mut() {
        Some((_, last)) if *last == block => {}
        Some((start, last)) if *start == first => *last = block,
        _ => leaves.push((first, block)),
    };
    let mut next = 0;
    for (number, block) in verdicts {
        if *number > next {
            add(next, absent.clone());
        }
        add(*number, block.clone());
        next = number + 1;
    }
    add(next, absent);
    leaves
}
