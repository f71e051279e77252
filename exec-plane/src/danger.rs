//! The only way to a plane that isolates nothing. Whoever reviews a host can search for this module's name.

/// Says that somebody has decided to run programs without isolation. Cannot be made but by this module.
#[derive(Debug)]
pub struct HostAccess {
    pub(crate) policies: Policies,
}

/// Under which policies programs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policies {
    /// Those that say so: `isolation.require = "none"`.
    ThatRequireNone,
    /// All.
    All,
}

/// Programs run as the host's own user, with all that this user may do, under policies that say `isolation.require = "none"`.
#[must_use]
pub fn i_know_programs_run_unisolated() -> HostAccess {
    HostAccess { policies: Policies::ThatRequireNone }
}

impl HostAccess {
    /// Programs also run under policies that require isolation, and get none: what does not hold is told in
    /// every report. For hosts whose user has asked for just that, in so many words.
    #[must_use]
    pub fn even_under_policies_that_require_isolation(self) -> Self {
        Self { policies: Policies::All }
    }
}
