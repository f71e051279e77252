//! Architectures that filters are made for: a parameter of the compiler, so that each is built and tested on every machine.

mod aarch64;
mod x86_64;

/// What a filter must know of an architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Architecture {
    /// 64-bit Intel and AMD.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

impl Architecture {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// Its name, as Rust's targets have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// Its `AUDIT_ARCH_…` (linux/audit.h), which `struct seccomp_data` carries.
    pub(crate) fn audit(self) -> u32 {
        match self {
            Self::X86_64 => 0xc000_003e,
            Self::Aarch64 => 0xc000_00b7,
        }
    }

    /// Every call, by name, in the order of numbers.
    pub(crate) fn calls(self) -> &'static [(&'static str, u32)] {
        match self {
            Self::X86_64 => x86_64::CALLS,
            Self::Aarch64 => aarch64::CALLS,
        }
    }

    /// The number of a call that it has.
    pub(crate) fn number(self, name: &str) -> Option<u32> {
        self.calls().iter().find(|(own, _)| *own == name).map(|(_, number)| *number)
    }
}
