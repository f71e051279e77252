//! Executes the operations of a plan in order; the first that fails is reported and ends everything.

use crate::format::{account, message, op};
use crate::plan_reader::{self, Cursor, Plan};
use crate::report;
use crate::state::{ProgramFilter, State};
use crate::step::{self, ENOSYS, Errno};
use crate::{init, step::Failure};

/// Executes plans. The last operation of the last one, `op::RUN`, does not come back.
pub fn run(state: &mut State) -> ! {
    init::default_signals();
    loop {
        match plan_reader::receive(state) {
            Ok(Some(plan)) => execute(plan, state),
            // The supervisor has no use for us any more.
            Ok(None) => report::end(0),
            Err(errno) => report::fail(u32::MAX, 0, errno, 0, state.plan),
        }
        state.plan += 1;
    }
}

/// Executes one plan up to its end, or to the operation that asks for the next.
fn execute(mut plan: Plan, state: &mut State) {
    state.memory = Some(plan.memory);
    for index in 0..plan.count {
        let (code, body) = match next(&mut plan.cursor) {
            Ok(operation) => operation,
            Err(errno) => report::fail(index, 0, errno, 0, state.plan),
        };
        if code == op::NEXT_PLAN {
            // The program's own filter lies where it came with the plan.
            if state.program_filter.is_none() {
                plan.memory.free();
            }
            return;
        }
        if let Err(failure) = operation(code, body, state) {
            report::fail(index, code, failure.errno, failure.detail, state.plan);
        }
    }
    report::end(0)
}

fn next(cursor: &mut Cursor) -> Result<(u32, Cursor), Errno> {
    let code = cursor.u32()?;
    let length = cursor.u32()? as usize;
    Ok((code, cursor.part(length)?))
}

fn operation(code: u32, mut body: Cursor, state: &mut State) -> Result<(), Failure> {
    let body = &mut body;
    match code {
        op::WRITE_FILE => step::file::write(body.text()?, body.text()?),
        op::LOOPBACK_UP => step::network::loopback_up(),
        op::NETWORK => step::network::listen(body),
        op::CONTENTS => step::file::contents(body.text()?, body.text()?),
        op::HOST_NAME => step::root::host_name(body.text()?),
        op::NEW_ROOT => step::root::new_root(body.text()?, body.text()?),
        op::DIRECTORY => step::file::directory(body.text()?, body.u32()?),
        op::FILE => step::file::empty(body.text()?),
        op::SYMLINK => step::file::symlink(body.text()?, body.text()?),
        op::REMOVE => step::file::remove(body.text()?),
        op::BIND => step::root::bind(body),
        op::MOUNT => step::root::mount(body.u32()?, body.text()?, body.text()?, body.text()?),
        op::OVERLAY => step::overlay::mount(body),
        op::ENTER_ROOT => step::root::enter(),
        op::HOLD => step::hold::hold(body, state),
        op::CHANGE_DIRECTORY => step::file::change_directory(body.text()?),
        op::RLIMIT => step::limits::rlimit(body.u32()?, body.u64()?),
        op::UMASK => step::limits::umask(body.u32()?),
        op::LANDLOCK_BEGIN => step::landlock::begin(body.text()?, state),
        op::LANDLOCK_PATH => step::landlock::path(body.u64()?, body.text()?, state),
        op::LANDLOCK_PORT => step::landlock::port(body.u64()?, body.u64()?, state),
        op::LANDLOCK_ENFORCE => step::landlock::enforce(state),
        op::DROP_PRIVILEGES => step::privileges::drop(),
        op::PROVE => step::privileges::prove(body.u32()?),
        op::SECCOMP => step::seccomp::install(body.u32()?, body.text()?),
        op::PROGRAM_FILTER => {
            let secret = [body.u64()?, body.u64()?];
            state.program_filter = Some(ProgramFilter { secret, instructions: body.text()? });
            Ok(())
        }
        op::GUARD => crate::guard::leave_behind(body.text()?, state),
        op::TERMINAL => step::terminal::open(body.u16()?, body.u16()?, state),
        op::ACCOUNT => {
            state.account.open(body.u32()? & account::OWN_NUMBERS != 0);
            Ok(())
        }
        op::READY => {
            report::send(&report::Message::new(message::READY, 0), &[]);
            Ok(())
        }
        op::JOIN_CGROUPS => step::cgroup::join(),
        op::REMOVE_AFTERWARDS => step::afterwards::remove(body),
        op::RUN => init::run(body, state),
        _ => Err(ENOSYS.into()),
    }
}
