//! The system call filter: a reviewed table and rules about arguments (`compiler`), compiled to classic BPF when this crate is
//! built, a filter for each variant of a run (`variant`). A start picks one and composes nothing.

mod calls;
#[cfg(test)]
mod compiler;
mod interpreter;
mod program_filter;
#[cfg(test)]
mod tests;
mod variant;

pub(crate) use calls::{call_name, is_observed};
pub(crate) use interpreter::Verdict;
pub(crate) use program_filter::ProgramFilter;
pub(crate) use variant::{Asked, Network, Profile, Variant};

/// fchmodat2(2), the same number on every architecture.
pub(crate) const SYS_FCHMODAT2: libc::c_long = 452;

/// `struct sock_filter`s as the kernel takes them, in the order of `Variant::ALL`.
const FILTERS: [&[u8]; Variant::ALL.len()] = include!(concat!(env!("OUT_DIR"), "/seccomp_filters.rs"));

/// The filter of `variant`; without one that was built nothing starts.
pub(crate) fn filter(variant: Variant) -> &'static [u8] {
    let place = Variant::ALL.iter().position(|own| *own == variant);
    place.and_then(|place| FILTERS.get(place)).copied().unwrap_or_default()
}

/// What the filter of `variant` says to a call of this architecture, worked out by running that very filter.
pub(crate) fn plain_verdict(variant: Variant, architecture: u32, number: i64, arguments: &[u64; 6]) -> Verdict {
    interpreter::verdict(filter(variant), architecture, number, arguments)
}

impl Variant {
    /// What watches a run with this filter.
    pub(crate) fn watched(self) -> Self {
        match self {
            Self::Full { own_programs, .. } => Self::Watched { namespaces: true, own_programs },
            Self::Landlock { own_programs, .. } => Self::Watched { namespaces: false, own_programs },
            Self::Watched { .. } => self,
        }
    }
}
