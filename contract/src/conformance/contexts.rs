//! Contexts and tenants: what belongs to whom, and what is left when a tenant is forgotten.

use super::check::{Group, Suite, ensure};
use super::stage::{LONG, Stage, told};
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::ids::{ContextId, VmId};

const GROUP: Group = Group::Contexts;

pub(super) fn check(suite: &mut Suite, stage: &Stage) {
    let unknown = |vm_id: &VmId, context: &ContextId| match stage.start(stage.request_in(vm_id, context, "true")) {
        Ok(_) => Err("it was started".to_owned()),
        Err(error) if error.code == ErrorCode::UnknownContext => Ok(()),
        Err(error) => Err(format!("the code is {}, not unknown_context", error.code)),
    };
    let made = |vm_id: &VmId| stage.context_in(vm_id, stage.profile()).map_err(|error| told(&error));
    suite.check(GROUP, "unknown", "a context that was never made is unknown", || {
        unknown(&stage.new_vm(), &ContextId::new("never-made"))
    });
    suite.check(GROUP, "of_another", "the context of another VM is unknown", || {
        let (own, other) = (stage.new_vm(), stage.new_vm());
        let context = made(&own)?;
        let found = unknown(&other, &context);
        stage.plane.forget_vm(&own);
        found
    });
    suite.check(GROUP, "forgotten", "a forgotten VM's context is unknown", || {
        let vm_id = stage.new_vm();
        let context = made(&vm_id)?;
        stage.plane.forget_vm(&vm_id);
        unknown(&vm_id, &context)
    });
    suite.check(GROUP, "distinct", "contexts have ids of their own", || {
        let vm_id = stage.new_vm();
        let (first, second) = (made(&vm_id)?, made(&vm_id)?);
        stage.plane.forget_vm(&vm_id);
        ensure!(first != second && !first.as_str().is_empty(), "they are `{first}` and `{second}`");
        Ok(())
    });
    suite.check(GROUP, "many_runs", "a context serves many runs", || {
        for _ in 0..5 {
            stage.shell("exit 0")?.exited(0)?;
        }
        Ok(())
    });
    suite.check(GROUP, "forget_unknown", "to forget a VM that was never there is no fault", || {
        stage.plane.forget_vm(&VmId::new("never-there"));
        stage.shell("exit 0")?.exited(0)
    });
    suite.check(GROUP, "forget_ends", "to forget a VM ends its executions", || {
        let vm_id = stage.new_vm();
        let context = made(&vm_id)?;
        let run =
            stage.start(stage.request_in(&vm_id, &context, "echo up; sleep 1000")).map_err(|error| told(&error))?;
        run.says("up")?;
        stage.plane.forget_vm(&vm_id);
        let cause = run.finish()?.report.cause;
        ensure!(cause == ExitCause::Killed, "the cause is {cause:?}");
        Ok(())
    });
    suite.check(GROUP, "forget_spares", "to forget one VM leaves another's executions running", || {
        let (one, other) = (stage.new_vm(), stage.new_vm());
        let (_, context) = (made(&one)?, made(&other)?);
        let run = stage.start(stage.request_in(&other, &context, "echo up; sleep 0.3; echo done"));
        let run = run.map_err(|error| told(&error))?;
        run.says("up")?;
        stage.plane.forget_vm(&one);
        let ended = run.finish()?;
        stage.plane.forget_vm(&other);
        ensure!(ended.text() == "up\ndone\n", "it printed {:?}", ended.text());
        ended.exited(0)
    });
    suite.check(GROUP, "again", "a VM's id can be used again after it was forgotten", || {
        let vm_id = stage.new_vm();
        made(&vm_id)?;
        stage.plane.forget_vm(&vm_id);
        let context = made(&vm_id)?;
        let ended = stage.run(stage.request_in(&vm_id, &context, "echo again"));
        stage.plane.forget_vm(&vm_id);
        ensure!(ended?.text() == "again\n", "something else was printed");
        Ok(())
    });
    suite.check(GROUP, "at_once", "eight executions at once each get their own output", || {
        let start = |number: u32| stage.start(stage.request(&format!("sleep 0.1; echo run {number}")));
        let runs: Vec<_> = (0..8).map(|number| start(number).map_err(|error| told(&error))).collect();
        for (number, run) in runs.into_iter().enumerate() {
            let text = run?.finish()?.text();
            ensure!(text == format!("run {number}\n"), "run {number} printed {text:?}");
        }
        Ok(())
    });
    suite.check(GROUP, "nothing_after", "no event comes after the end", || {
        let run = stage.start(stage.request("echo x; (sleep 0.2; echo late) &")).map_err(|error| told(&error))?;
        run.finish()?;
        let more = run.wait_for(std::time::Duration::from_millis(400), |events| {
            !matches!(events.last(), Some(cofferdam_bridge::event::ExecutionEvent::Exited(_)))
        });
        ensure!(!more, "something came within {LONG:?} after the end");
        Ok(())
    });
}
