//! What each version of Landlock can hold (landlock(7), linux/landlock.h), and what holds it where a version cannot.

pub(crate) const EXECUTE: u64 = 1 << 0;
pub(crate) const WRITE_FILE: u64 = 1 << 1;
pub(crate) const READ_FILE: u64 = 1 << 2;
pub(crate) const READ_DIR: u64 = 1 << 3;
const REMOVE_DIR: u64 = 1 << 4;
const REMOVE_FILE: u64 = 1 << 5;
const MAKE_CHAR: u64 = 1 << 6;
const MAKE_DIR: u64 = 1 << 7;
const MAKE_REG: u64 = 1 << 8;
const MAKE_SOCK: u64 = 1 << 9;
const MAKE_FIFO: u64 = 1 << 10;
const MAKE_BLOCK: u64 = 1 << 11;
const MAKE_SYM: u64 = 1 << 12;
const REFER: u64 = 1 << 13;
pub(crate) const TRUNCATE: u64 = 1 << 14;
pub(crate) const IOCTL_DEV: u64 = 1 << 15;

const BIND_TCP: u64 = 1 << 0;
pub(crate) const CONNECT_TCP: u64 = 1 << 1;
const SCOPE_ABSTRACT_UNIX_SOCKET: u64 = 1 << 0;
const SCOPE_SIGNAL: u64 = 1 << 1;

/// Rights of the first version.
const FIRST: u64 = EXECUTE
    | WRITE_FILE
    | READ_FILE
    | READ_DIR
    | REMOVE_DIR
    | REMOVE_FILE
    | MAKE_CHAR
    | MAKE_DIR
    | MAKE_REG
    | MAKE_SOCK
    | MAKE_FIFO
    | MAKE_BLOCK
    | MAKE_SYM;

/// What a writable place gives: everything but executing, which is asked for apart, and making device nodes, which nothing does.
const WRITE: u64 = (FIRST & !(EXECUTE | MAKE_CHAR | MAKE_BLOCK)) | REFER | TRUNCATE;

/// What a version brought.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addition {
    /// The version.
    pub(crate) since: u32,
    /// Rights about files.
    files: u64,
    /// Rights about TCP ports.
    ports: u64,
    /// What stays within.
    scopes: u64,
    /// What it holds.
    pub(crate) what: &'static str,
    /// What comes of it in earlier versions, behind mounts and namespaces. Without those, `SIGNAL_SCOPE_ABI` is the least.
    pub(crate) without: &'static str,
}

const NOTHING: Addition = Addition { since: 0, files: 0, ports: 0, scopes: 0, what: "", without: "" };

/// Version 7 brought no right, only what the audit log is told.
pub(crate) const ADDITIONS: [Addition; 6] = [
    Addition { since: 1, files: FIRST, what: "files and folders", without: "there is no Landlock", ..NOTHING },
    Addition {
        since: 2,
        files: REFER,
        what: "moving between folders",
        without: "refused altogether: programs copy and remove instead",
        ..NOTHING
    },
    Addition { since: 3, files: TRUNCATE, what: "truncating", without: "mounts hold it", ..NOTHING },
    Addition {
        since: TCP_ABI,
        ports: BIND_TCP | CONNECT_TCP,
        what: "TCP ports",
        without: "the network namespace holds them",
        ..NOTHING
    },
    Addition {
        since: 5,
        files: IOCTL_DEV,
        what: "requests to devices",
        without: "there are no devices but harmless ones, and the filter refuses requests that type on terminals",
        ..NOTHING
    },
    Addition {
        since: SIGNAL_SCOPE_ABI,
        scopes: SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL,
        what: "signals and abstract sockets",
        without: "the pid and network namespaces hold them",
        ..NOTHING
    },
];

/// The version that holds TCP ports.
pub(crate) const TCP_ABI: u32 = 4;

/// The version that keeps signals within. Nothing else can where there is no pid namespace: a filter cannot tell whose number it sees.
pub(crate) const SIGNAL_SCOPE_ABI: u32 = 6;

/// What this kernel's Landlock can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rights {
    abi: u32,
}

impl Rights {
    /// The rights of Landlock version `abi`, which is at least 1.
    pub(crate) fn of(abi: u32) -> Self {
        Self { abi }
    }

    /// The version itself.
    pub(crate) fn abi(self) -> u32 {
        self.abi
    }

    /// Those that version `abi` has, too.
    pub(crate) fn at_most(self, abi: u32) -> Self {
        Self { abi: self.abi.min(abi.max(1)) }
    }

    fn sum(self, of: impl Fn(&Addition) -> u64) -> u64 {
        ADDITIONS.iter().filter(|addition| addition.since <= self.abi).fold(0, |sum, addition| sum | of(addition))
    }

    /// Every right about files that it has: all of them are handled, so that what no rule gives is refused.
    pub(crate) fn handled(self) -> u64 {
        self.sum(|addition| addition.files)
    }

    /// `struct landlock_ruleset_attr`, as long as this version knows it.
    pub(crate) fn attributes(self, deny_tcp: bool) -> Vec<u8> {
        let mut bytes = self.handled().to_le_bytes().to_vec();
        if self.abi >= TCP_ABI {
            let ports = if deny_tcp { self.sum(|addition| addition.ports) } else { 0 };
            bytes.extend_from_slice(&ports.to_le_bytes());
        }
        if self.abi >= SIGNAL_SCOPE_ABI {
            bytes.extend_from_slice(&self.sum(|addition| addition.scopes).to_le_bytes());
        }
        bytes
    }

    /// What a writable place gives.
    pub(crate) fn write(self) -> u64 {
        WRITE & self.handled()
    }

    /// What it cannot hold, and what does instead, in words; none for a version that has everything.
    pub(crate) fn gaps(self) -> Option<String> {
        let missing = ADDITIONS.iter().filter(|addition| addition.since > self.abi);
        let told: Vec<_> = missing.map(|one| format!("{}: {}", one.what, one.without)).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_holds_what_linux_says() {
        let told: Vec<String> = (1..=8)
            .map(|abi| {
                let rights = Rights::of(abi);
                let words: Vec<String> = rights
                    .attributes(true)
                    .chunks(8)
                    .map(|word| format!("{:#x}", u64::from_le_bytes(word.try_into().unwrap())))
                    .collect();
                format!("{abi}: {}, write {:#x}", words.join(" "), rights.write())
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn what_a_version_lacks_is_told_with_what_holds_it() {
        assert_eq!(Rights::of(7).gaps(), None);
        assert_eq!(Rights::of(6).gaps(), None);
        let gaps = Rights::of(2).gaps().unwrap();
        assert!(gaps.starts_with("truncating: mounts hold it; TCP ports: "), "{gaps}");
        assert_eq!(Rights::of(7).at_most(3), Rights::of(3));
        assert_eq!(Rights::of(2).at_most(0), Rights::of(1));
    }

    #[test]
    fn this_kernel_takes_the_ruleset_of_each_version() {
        let Some(own) = crate::preflight::landlock_abi() else { return };
        for abi in 1..=own {
            let attributes = Rights::of(abi).attributes(true);
            assert!(crate::preflight::takes_ruleset(&attributes), "version {abi}");
        }
    }
}
