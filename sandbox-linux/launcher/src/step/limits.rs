//! Limits that a process carries: rlimits and the file mode mask.

use super::{Failure, check};
use crate::raw_call::{call, nr};

/// Sets soft and hard limit, or the hard limit there is where that is lower already.
pub fn rlimit(resource: u32, limit: u64) -> Result<(), Failure> {
    let mut now = [0_u64; 2];
    // SAFETY: `struct rlimit64` is two u64; pid 0 means this process.
    unsafe {
        check(call!(nr::PRLIMIT64, 0, resource, 0, &raw mut now))?;
        let wanted = [limit.min(now[1]), limit.min(now[1])];
        check(call!(nr::PRLIMIT64, 0, resource, &raw const wanted, 0))?;
    }
    Ok(())
}

/// Sets the file mode mask.
pub fn umask(mask: u32) -> Result<(), Failure> {
    // SAFETY: takes an integer, cannot fail.
    unsafe { call!(nr::UMASK, mask) };
    Ok(())
}
