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

/// Which sockets of the network may be made where no namespace bounds what they reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// None.
    Closed,
    /// Those of TCP, to connect to the run's proxy and to listen at its own places; the supervisor is asked about both.
    Asked,
    /// All that a run with a network of its own may make: the policy lets it use the host's.
    Host,
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
        /// Which sockets of the network may be made.
        network: Network,
        /// The policy lets the run execute something that it may write.
        own_programs: bool,
    },
    /// Any of them, where refusals are to be explained: the supervisor is asked about whatever may be refused, and answers as the
    /// filter of the run itself would. One does for all that share what it must leave to the kernel.
    Watched {
        /// Behind namespaces and mounts.
        namespaces: bool,
        /// The policy lets the run execute something that it may write.
        own_programs: bool,
    },
}

/// As many variants as there are with and without programs of the run's own.
const HALF: usize = 11;

impl Variant {
    /// All of them, in the order in which the built filters lie.
    pub(crate) const ALL: [Self; 2 * HALF] = {
        let halves = [Self::each(false), Self::each(true)];
        let mut all = [halves[0][0]; 2 * HALF];
        let mut at = 0;
        while at < all.len() {
            all[at] = halves[at / HALF][at % HALF];
            at += 1;
        }
        all
    };

    const fn each(own_programs: bool) -> [Self; HALF] {
        [
            Self::Full { asked: Asked::Nothing, sockets: false, own_programs },
            Self::Full { asked: Asked::Nothing, sockets: true, own_programs },
            Self::Full { asked: Asked::Names, sockets: false, own_programs },
            Self::Full { asked: Asked::Names, sockets: true, own_programs },
            Self::Full { asked: Asked::NamesAndOpens, sockets: false, own_programs },
            Self::Full { asked: Asked::NamesAndOpens, sockets: true, own_programs },
            Self::Landlock { network: Network::Closed, own_programs },
            Self::Landlock { network: Network::Asked, own_programs },
            Self::Landlock { network: Network::Host, own_programs },
            Self::Watched { namespaces: true, own_programs },
            Self::Watched { namespaces: false, own_programs },
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
