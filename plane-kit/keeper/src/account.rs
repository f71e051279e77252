//! What was used in all, told with the end: a host need not wait until we have ended, too, to know it.

use crate::raw_call::{call, nr};

const RUSAGE_SELF: isize = 0;
const RUSAGE_CHILDREN: isize = -1;
/// Of getrusage(2): seconds and microseconds in user mode and in the kernel, peak in KiB, 13 more.
type Rusage = [u64; 18];

/// Microseconds in user mode and in the kernel, and the peak of the largest process in bytes, as wait4(2) would tell them of us:
/// ourselves and all that we reaped.
pub fn used() -> [u64; 3] {
    let (own, reaped) = (of(RUSAGE_SELF), of(RUSAGE_CHILDREN));
    let [own_user, own_system, own_peak] = own;
    let [user, system, peak] = reaped;
    [user.saturating_add(own_user), system.saturating_add(own_system), peak.max(own_peak)]
}

fn of(whom: isize) -> [u64; 3] {
    let mut usage: Rusage = [0; 18];
    // SAFETY: a rusage is 18 words; it lives until the call returns. What fails leaves it zero.
    unsafe { call!(nr::GETRUSAGE, whom, usage.as_mut_ptr()) };
    let [user_s, user_us, system_s, system_us, peak, ..] = usage;
    let microseconds = |seconds: u64, rest: u64| seconds.saturating_mul(1_000_000).saturating_add(rest);
    [microseconds(user_s, user_us), microseconds(system_s, system_us), peak.saturating_mul(1024)]
}
