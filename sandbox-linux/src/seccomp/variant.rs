//! The filters that there are. Each is compiled when this crate is built; a start picks one.

/// Which opens and changes of names go to the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// None: mounts hold all rules.
    Nothing,
    /// Calls that make or change names, and opens that write.
    Names,
    /// Every open, too.
    NamesAndOpens,
}

/// What a filter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// Behind namespaces and mounts.
    Full {
        /// What the supervisor is asked about.
        asked: Asked,
        /// So are sockets that are bound or connected.
        sockets: bool,
    },
    /// Without namespaces: more is refused, and the supervisor is asked about all of the above.
    Landlock {
        /// The policy lets the run use the host's network.
        host_network: bool,
    },
}

impl Variant {
    /// All of them, in the order in which the built filters lie.
    pub(crate) const ALL: [Self; 8] = [
        Self::Full { asked: Asked::Nothing, sockets: false },
        Self::Full { asked: Asked::Nothing, sockets: true },
        Self::Full { asked: Asked::Names, sockets: false },
        Self::Full { asked: Asked::Names, sockets: true },
        Self::Full { asked: Asked::NamesAndOpens, sockets: false },
        Self::Full { asked: Asked::NamesAndOpens, sockets: true },
        Self::Landlock { host_network: false },
        Self::Landlock { host_network: true },
    ];
}

/// A further filter that the program alone gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Nothing more is executed.
    NoExec,
    /// Nothing but computing.
    Compute,
}

impl Profile {
    /// All of them, in the order in which the built filters lie.
    pub(crate) const ALL: [Self; 2] = [Self::NoExec, Self::Compute];
}
