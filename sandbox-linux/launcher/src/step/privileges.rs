//! Capabilities, no_new_privs, and the proof that what was asked for holds.

use super::{Failure, check, part};
use crate::format::proof;
use crate::raw_call::{call, nr};

const PR_SET_DUMPABLE: usize = 4;
const PR_CAPBSET_READ: usize = 23;
const PR_CAPBSET_DROP: usize = 24;
const PR_GET_SECCOMP: usize = 21;
const PR_SET_SECUREBITS: usize = 28;
const PR_SET_NO_NEW_PRIVS: usize = 38;
const PR_GET_NO_NEW_PRIVS: usize = 39;
const PR_CAP_AMBIENT: usize = 47;
const PR_CAP_AMBIENT_CLEAR_ALL: usize = 4;
/// NOROOT, NO_SETUID_FIXUP and NO_CAP_AMBIENT_RAISE with their locks, KEEP_CAPS off and locked (capabilities(7)).
const SECURE_BITS: usize = 0b1110_1111;
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;
const EPERM: i32 = 1;
const EINVAL: i32 = 22;
/// The kernel has 41 capabilities; numbers it does not know answer EINVAL.
const LAST_CAPABILITY: usize = 63;

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

/// Effective, permitted, inheritable; low words, then high words.
type CapabilitySets = [u32; 6];

/// Empties bounding, ambient, effective, permitted and inheritable sets, locks the secure bits, sets no_new_privs.
pub fn drop() -> Result<(), Failure> {
    // SAFETY: prctl with integers only.
    unsafe {
        for capability in 0..=LAST_CAPABILITY {
            match check(call!(nr::PRCTL, PR_CAPBSET_DROP, capability, 0, 0, 0)) {
                Ok(_) => {}
                Err(EINVAL) => break,
                // A tier without a user namespace has nothing to drop from; `prove` looks at what is left.
                Err(EPERM) => break,
                Err(errno) => return Err(Failure { errno, detail: 1 }),
            }
        }
        match check(call!(nr::PRCTL, PR_SET_SECUREBITS, SECURE_BITS, 0, 0, 0)) {
            Ok(_) | Err(EPERM) => {}
            Err(errno) => return Err(Failure { errno, detail: 2 }),
        }
        part(call!(nr::PRCTL, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), 3)?;
        let header = CapabilityHeader { version: CAPABILITY_VERSION_3, pid: 0 };
        let empty: CapabilitySets = [0; 6];
        part(call!(nr::CAPSET, &raw const header, &raw const empty), 4)?;
        part(call!(nr::PRCTL, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 5)?;
        // The guest runs under our user id. A process that is not dumpable can be traced only with capabilities it has
        // not got, so it cannot take over pid 1 and speak to the supervisor in its name. execve(2) resets it for the program.
        part(call!(nr::PRCTL, PR_SET_DUMPABLE, 0, 0, 0, 0), 6)?;
    }
    Ok(())
}

/// Reads back what must hold. `detail` of a failure is the bit that did not.
pub fn prove(what: u32) -> Result<(), Failure> {
    let asked = |bit: u32| what & bit != 0;
    let missing = |bit: u32| Err(Failure { errno: EPERM, detail: u64::from(bit) });
    if asked(proof::NO_CAPABILITIES) && holds_capability()? {
        return missing(proof::NO_CAPABILITIES);
    }
    if asked(proof::SIGNAL_SCOPE) && !crate::signal_scope::holds() {
        return missing(proof::SIGNAL_SCOPE);
    }
    // SAFETY: integers only.
    unsafe {
        if asked(proof::NO_NEW_PRIVILEGES) && check(call!(nr::PRCTL, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0))? != 1 {
            return missing(proof::NO_NEW_PRIVILEGES);
        }
        if asked(proof::SECCOMP) && check(call!(nr::PRCTL, PR_GET_SECCOMP, 0, 0, 0, 0))? != 2 {
            return missing(proof::SECCOMP);
        }
        if asked(proof::PID_ONE) && check(call!(nr::GETPID))? != 1 {
            return missing(proof::PID_ONE);
        }
        if asked(proof::NO_BOUNDING_SET) && check(call!(nr::PRCTL, PR_CAPBSET_READ, 21, 0, 0, 0))? != 0 {
            return missing(proof::NO_BOUNDING_SET);
        }
    }
    Ok(())
}

fn holds_capability() -> Result<bool, Failure> {
    let header = CapabilityHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let mut sets: CapabilitySets = [u32::MAX; 6];
    // SAFETY: header and sets are the structures of capget(2), version 3.
    part(unsafe { call!(nr::CAPGET, &raw const header, &raw mut sets) }, 10)?;
    Ok(sets.iter().any(|set| *set != 0))
}
