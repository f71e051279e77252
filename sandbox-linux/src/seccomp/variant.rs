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
        /// The policy lets the run execute something that it may write.
        own_programs: bool,
    },
    /// Without namespaces: more is refused, and the supervisor is asked about all of the above.
    Landlock {
        /// The policy lets the run use the host's network.
        host_network: bool,
        /// The policy lets the run execute something that it may write.
        own_programs: bool,
    },
}

impl Variant {
    /// All of them, in the order in which the built filters lie.
    pub(crate) const ALL: [Self; 16] = {
        let halves = [Self::each(false), Self::each(true)];
        let mut all = [halves[0][0]; 16];
        let mut at = 0;
        while at < all.len() {
            all[at] = halves[at / 8][at % 8];
            at += 1;
        }
        all
    };

    const fn each(own_programs: bool) -> [Self; 8] {
        [
            Self::Full { asked: Asked::Nothing, sockets: false, own_programs },
            Self::Full { asked: Asked::Nothing, sockets: true, own_programs },
            Self::Full { asked: Asked::Names, sockets: false, own_programs },
            Self::Full { asked: Asked::Names, sockets: true, own_programs },
            Self::Full { asked: Asked::NamesAndOpens, sockets: false, own_programs },
            Self::Full { asked: Asked::NamesAndOpens, sockets: true, own_programs },
            Self::Landlock { host_network: false, own_programs },
            Self::Landlock { host_network: true, own_programs },
        ]
    }
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
