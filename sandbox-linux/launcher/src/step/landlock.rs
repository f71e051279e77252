//! The same file rules once more, by Landlock: a mistake in the mounts is then no escape.

use super::{AT_FDCWD, ENOENT, Failure, O_CLOEXEC, O_PATH, check, part};
use crate::plan_reader::Text;
use crate::raw_call::{call, nr};
use crate::state::State;

const RULE_PATH_BENEATH: usize = 1;
const RULE_NET_PORT: usize = 2;
const PR_SET_NO_NEW_PRIVS: usize = 38;

/// `struct landlock_path_beneath_attr`: packed, as the kernel declares it.
#[repr(C, packed)]
struct PathBeneath {
    access: u64,
    parent: i32,
}

/// `struct landlock_net_port_attr`.
#[repr(C)]
struct NetPort {
    access: u64,
    port: u64,
}

/// Makes the ruleset; the attributes are the kernel's structure, made by the supervisor for this kernel's version.
pub fn begin(attributes: Text, state: &mut State) -> Result<(), Failure> {
    // SAFETY: the attributes lie in the plan with the length told.
    let ruleset = check(unsafe { call!(nr::LANDLOCK_CREATE_RULESET, attributes.at, attributes.length, 0) })?;
    state.landlock = ruleset as i32;
    Ok(())
}

/// Allows `access` beneath `path`.
pub fn path(access: u64, path: Text, state: &State) -> Result<(), Failure> {
    // SAFETY: the text ends with NUL.
    let place = match check(unsafe { call!(nr::OPENAT, AT_FDCWD, path.at, O_PATH | O_CLOEXEC) }) {
        Ok(place) => place,
        Err(ENOENT) => return Ok(()),
        Err(errno) => return Err(Failure { errno, detail: 1 }),
    };
    let rule = PathBeneath { access, parent: place as i32 };
    // SAFETY: the rule lives until the call returns; the descriptor is ours.
    unsafe {
        let added = call!(nr::LANDLOCK_ADD_RULE, state.landlock, RULE_PATH_BENEATH, &raw const rule, 0);
        call!(nr::CLOSE, place);
        part(added, 2)?;
    }
    Ok(())
}

/// Allows `access` to `port`.
pub fn port(access: u64, port: u64, state: &State) -> Result<(), Failure> {
    let rule = NetPort { access, port };
    // SAFETY: the rule lives until the call returns.
    check(unsafe { call!(nr::LANDLOCK_ADD_RULE, state.landlock, RULE_NET_PORT, &raw const rule, 0) })?;
    Ok(())
}

/// Enforces the ruleset on this process and all its descendants.
pub fn enforce(state: &mut State) -> Result<(), Failure> {
    // SAFETY: integers only.
    unsafe {
        part(call!(nr::PRCTL, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 1)?;
        part(call!(nr::LANDLOCK_RESTRICT_SELF, state.landlock, 0), 2)?;
        call!(nr::CLOSE, state.landlock);
    }
    state.landlock = -1;
    Ok(())
}

/// Keeps signals within, see `signal_scope`.
pub fn scope_signals() -> Result<(), Failure> {
    part(crate::signal_scope::enter(), 20)?;
    Ok(())
}
