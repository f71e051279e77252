//! Compiles the reviewed table (`table`) and the rules about arguments (`rules`) to classic BPF (`bpf`), for each architecture.
//!
//! The build script runs it; the crate itself has only what came out. Tests run it, too, for every architecture.

pub(crate) mod architecture;
pub(crate) mod bpf;
pub(crate) mod observed;
pub(crate) mod profiles;
mod rules;
pub(crate) mod table;
mod without_namespaces;

use super::variant::{Asked, Network, Variant};
use architecture::Architecture;
use bpf::{Block, BpfInstruction, ENOSYS, Verdict};
use std::collections::{BTreeMap, BTreeSet};

/// The filter of `variant` for `architecture`.
pub(crate) fn compile(architecture: Architecture, variant: Variant) -> Vec<BpfInstruction> {
    let verdicts = match variant {
        Variant::Watched { namespaces, own_programs } => {
            observed::asking(verdicts(strictest(namespaces, own_programs)))
        }
        plain => verdicts(plain),
    };
    bpf::filter(architecture.audit(), &leaves(&by_number(architecture, &verdicts)), ENOSYS)
}

/// Whatever another variant of its kind asks about or refuses, this one does. What only some refuse takes no names, see `observed`.
fn strictest(namespaces: bool, own_programs: bool) -> Variant {
    match namespaces {
        true => Variant::Full { asked: Asked::NamesAndOpens, sockets: true, own_programs },
        false => Variant::Landlock { network: Network::Closed, own_programs },
    }
}

/// Slips of the pen in the tables, each of which would leave a call unjudged or unexplained. A sentence each.
pub(crate) fn faults() -> Vec<String> {
    let known = |name: &&str| Architecture::ALL.iter().any(|one| one.number(name).is_some());
    let named = Variant::ALL.iter().flat_map(|variant| verdicts(*variant).into_keys());
    let mut faults: Vec<_> =
        named.filter(|name| !known(name)).map(|name| format!("nothing has a call {name}")).collect();
    let mut seen = BTreeSet::new();
    let compute = table::COMPUTE.iter().flat_map(|group| group.calls);
    let observed = observed::NAMING.iter().chain(observed::BY_VARIANT);
    faults.extend(compute.chain(observed).filter(|name| !known(name)).map(|name| format!("nothing has a call {name}")));
    for group in table::GROUPS.iter().flat_map(|(groups, _)| *groups) {
        if group.reason.len() < 10 {
            faults.push(format!("the group of {:?} has no reason", group.calls));
        }
        faults
            .extend(group.calls.iter().filter(|call| !seen.insert(**call)).map(|call| format!("{call} stands twice")));
    }
    faults
}

/// What the tables ask of a variant.
impl Variant {
    /// Whether calls that make or change names go to the supervisor.
    fn asks_about_names(self) -> bool {
        !matches!(self, Self::Full { asked: Asked::Nothing, .. })
    }

    /// Whether every open does.
    fn asks_about_opens(self) -> bool {
        matches!(self, Self::Landlock { .. } | Self::Full { asked: Asked::NamesAndOpens, .. })
    }

    /// Whether sockets do that are bound or connected.
    fn asks_about_sockets(self) -> bool {
        matches!(self, Self::Landlock { .. } | Self::Full { sockets: true, .. })
    }

    /// Whether namespaces hold what they can.
    fn has_namespaces(self) -> bool {
        matches!(self, Self::Full { .. } | Self::Watched { namespaces: true, .. })
    }

    /// Which network sockets may be made. In a namespace of the run's own they reach only what the policy lets them.
    fn network(self) -> Network {
        match self {
            Self::Landlock { network, .. } => network,
            _ => Network::Host,
        }
    }

    /// Whether something that the run may write may be executed.
    fn runs_its_own(self) -> bool {
        let (Self::Full { own_programs, .. }
        | Self::Landlock { own_programs, .. }
        | Self::Watched { own_programs, .. }) = self;
        own_programs
    }
}

/// Every call that some architecture has.
fn named_calls() -> impl Iterator<Item = &'static str> {
    Architecture::ALL.iter().flat_map(|architecture| architecture.calls()).map(|(name, _)| *name)
}

/// What becomes of each call that is named.
fn verdicts(variant: Variant) -> BTreeMap<&'static str, Block> {
    let mut verdicts = BTreeMap::new();
    for (groups, verdict) in table::GROUPS {
        let calls = groups.iter().flat_map(|group| group.calls);
        verdicts.extend(calls.map(|call| (*call, Block::plainly(verdict))));
    }
    let tracing = if variant.has_namespaces() { Verdict::Allow } else { Verdict::Errno(bpf::EPERM) };
    verdicts.extend(table::TRACING.iter().map(|call| (*call, Block::plainly(tracing))));
    verdicts.extend(rules::rules(variant));
    verdicts
}

fn by_number(architecture: Architecture, verdicts: &BTreeMap<&'static str, Block>) -> BTreeMap<u32, Block> {
    let calls = architecture.calls().iter();
    calls.filter_map(|(name, number)| Some((*number, verdicts.get(name)?.clone()))).collect()
}

/// Neighbours with the same plain verdict become one leaf; gaps become leaves that answer ENOSYS.
fn leaves(verdicts: &BTreeMap<u32, Block>) -> Vec<(u32, Block)> {
    let absent = Block::plainly(Verdict::Errno(ENOSYS));
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
