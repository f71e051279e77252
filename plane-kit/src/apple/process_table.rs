//! What libproc tells of processes. Its calls have no safe form; each fills a structure of integers, or says how much it has filled.
//!
//! Structures: `<sys/proc_info.h>`; the numbers that are never used again: `struct proc_uniqidentifierinfo` of XNU's
//! `bsd/sys/proc_info_private.h`, whose `p_puniqueid` stays that of the maker when that one has ended (`bsd/sys/proc_internal.h`).

#![expect(unsafe_code, reason = "libproc has no safe form")]

use crate::apple::descendants::Member;
use std::mem::{MaybeUninit, size_of};

/// `PROC_PIDUNIQIDENTIFIERINFO` of `<sys/proc_info_private.h>`.
const UNIQUE: i32 = 17;

/// A state of `<sys/proc.h>`: ended, and not waited for.
const ZOMBIE: u32 = 5;

#[repr(C)]
#[derive(Clone, Copy)]
struct UniqueIdentifiers {
    program: [u8; 16],
    own: u64,
    maker: u64,
    versions: [i32; 2],
    reserved: [u64; 2],
}

/// What one process uses.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    pub(crate) threads: u64,
    /// What the kernel charges it for: resident, compressed and wired memory that is its own (`ri_phys_footprint`).
    pub(crate) memory_bytes: u64,
    pub(crate) own_cpu_ms: u64,
    /// Of children that it has waited for.
    pub(crate) waited_cpu_ms: u64,
    pub(crate) open_files: u64,
    pub(crate) stored_bytes: u64,
}

/// All living processes that this user may ask about.
pub(crate) fn members() -> Vec<Member> {
    pids().into_iter().filter_map(member).collect()
}

/// One process; none for one that is not there, has ended, or may not be asked about.
pub(crate) fn member(pid: i32) -> Option<Member> {
    let facts = facts(pid).filter(|facts| facts.pbi_status != ZOMBIE)?;
    let unique: UniqueIdentifiers = info(pid, UNIQUE)?;
    Some(Member { pid, id: unique.own, maker: unique.maker, group: i32::try_from(facts.pbi_pgid).ok()? })
}

/// Microseconds since 1970 at which it was started.
pub(crate) fn started(pid: i32) -> Option<u64> {
    let facts = facts(pid).filter(|facts| facts.pbi_status != ZOMBIE)?;
    Some(facts.pbi_start_tvsec.saturating_mul(1_000_000).saturating_add(facts.pbi_start_tvusec))
}

/// What it uses now.
pub(crate) fn used(pid: i32) -> Option<Used> {
    let (facts, task): (libc::proc_bsdinfo, libc::proc_taskinfo) = (facts(pid)?, info(pid, libc::PROC_PIDTASKINFO)?);
    let mut usage = MaybeUninit::<libc::rusage_info_v4>::zeroed();
    // SAFETY: the structure is that of the version which is asked for, and lives until the call returns.
    let got = unsafe { libc::proc_pid_rusage(pid, libc::RUSAGE_INFO_V4, usage.as_mut_ptr().cast()) };
    if got != 0 {
        return None;
    }
    // SAFETY: integers, for which zeros are values, too.
    let usage = unsafe { usage.assume_init() };
    Some(Used {
        threads: u64::from(task.pti_threadnum.unsigned_abs()),
        memory_bytes: usage.ri_phys_footprint,
        own_cpu_ms: milliseconds(usage.ri_user_time.saturating_add(usage.ri_system_time)),
        waited_cpu_ms: milliseconds(usage.ri_child_user_time.saturating_add(usage.ri_child_system_time)),
        open_files: u64::from(facts.pbi_nfiles),
        stored_bytes: usage.ri_diskio_byteswritten,
    })
}

/// How many processes the user `id` has.
pub(crate) fn processes_of(id: u32) -> u64 {
    pids().into_iter().filter_map(facts).filter(|facts| facts.pbi_ruid == id).count() as u64
}

fn pids() -> Vec<i32> {
    let mut pids = vec![0_i32; 4096];
    loop {
        let room = i32::try_from(pids.len() * size_of::<i32>()).unwrap_or(i32::MAX);
        // SAFETY: the buffer has as many bytes as are told.
        let count = unsafe { libc::proc_listallpids(pids.as_mut_ptr().cast(), room) };
        let count = usize::try_from(count).unwrap_or(0);
        if count < pids.len() {
            pids.truncate(count);
            return pids;
        }
        pids.resize(pids.len() * 2, 0);
    }
}

fn facts(pid: i32) -> Option<libc::proc_bsdinfo> {
    info(pid, libc::PROC_PIDTBSDINFO)
}

/// `T` must be the structure of `flavor`: one of integers.
fn info<T: Copy>(pid: i32, flavor: i32) -> Option<T> {
    let mut told = MaybeUninit::<T>::zeroed();
    let size = i32::try_from(size_of::<T>()).ok()?;
    // SAFETY: the buffer has as many bytes as are told, and lives until the call returns.
    let got = unsafe { libc::proc_pidinfo(pid, flavor, 0, told.as_mut_ptr().cast(), size) };
    // SAFETY: structures of integers alone, for which zeros are values, too.
    (got == size).then(|| unsafe { told.assume_init() })
}

/// Of Mach's own unit, which is no nanosecond on Apple's processors (`mach_timebase_info`).
#[expect(deprecated, reason = "the crate that is recommended instead has this one call")]
fn milliseconds(units: u64) -> u64 {
    let mut base = libc::mach_timebase_info { numer: 0, denom: 0 };
    // SAFETY: the structure lives until the call returns.
    unsafe { libc::mach_timebase_info(&raw mut base) };
    let (above, below) = (u128::from(base.numer.max(1)), u128::from(base.denom.max(1)));
    u64::try_from(u128::from(units) * above / below / 1_000_000).unwrap_or(u64::MAX)
}

/// The foreground group of the terminal that a process has.
pub(crate) fn foreground_group(pid: i32) -> Option<i32> {
    let facts = facts(pid)?;
    i32::try_from(facts.e_tpgid).ok().filter(|group| *group > 0)
}
