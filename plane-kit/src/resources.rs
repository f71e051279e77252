//! What processes used, as the kernel counted it.

/// What the kernel counted for a process and all the descendants it waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resources {
    /// Microseconds in user mode.
    pub user_us: u64,
    /// Microseconds in the kernel.
    pub system_us: u64,
    /// Peak resident memory of the largest process, in bytes.
    pub peak_bytes: u64,
}
