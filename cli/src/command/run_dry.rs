//! `cofferdam run --dry-run`: what a run would come to.

use super::Run;
use crate::audit_log::Recording;
use crate::compose;
use crate::exit_code;
use crate::failure::{Failure, io};
use crate::kept_changes;
use crate::kernel_parts::KernelParts;
use crate::plane_choice;
use crate::report::dry_run::{self, Ran, Tried};
use crate::report::human;
use crate::terminal::relay::{self, Captured, Mode};
use cofferdam_bridge::descriptor::{PlaneDescriptor, Preflight};
use cofferdam_bridge::event::ExecutionReport;
use cofferdam_bridge::execution::Explain;
use cofferdam_kernel::policy::{Access, Policy};
use cofferdam_kernel::{DryRun, Vm};

impl Run {
    pub(super) fn dry_run(&self) -> Result<u8, Failure> {
        // Not ahead: nothing is to be started that is not needed to find out.
        // Where it is run to be forgotten, it is run all the same.
        let recording = if self.overlay { self.recording() } else { Recording::Off };
        let kernel = KernelParts::new(self.plane.clone()).at_rest().recording(recording).kernel()?;
        let places = self.places()?;
        let policy = plane_choice::fitting(self.dry_policy()?, &kernel, &self.plane)?;
        let spec = compose::spec(compose::without_own_places(policy)?, &places, Explain::Known);
        let vm = match kernel.create_vm(spec.clone()) {
            Ok(vm) => vm,
            // The policy itself cannot be used where asking the planes about it fails, too.
            Err(error) => return self.tell_refused(&kernel.preflight(&spec)?, &error.into()),
        };
        let mode = if self.mode(&vm) == Mode::Terminal { Mode::Inherited } else { self.mode(&vm) };
        let command = self.command(&vm, &mode)?;
        let told = command.dry_run(&self.known_files(&vm))?;
        if !self.overlay || !told.would_start {
            return self.tell_dry(&told, None);
        }
        vm.keeps_everything_apart()?;
        let (report, captured) = self.try_out(&vm, mode)?;
        self.tell_tried(&told, &report, &captured)
    }

    /// The run's policy; where it is to be run and forgotten, without a network, whose other end would not forget.
    fn dry_policy(&self) -> Result<Policy, Failure> {
        let policy = self.narrowed()?;
        Ok(if self.overlay { policy.without_network() } else { policy })
    }

    /// What the arguments name that is there: the program may look at it. The kernel itself looks at no files.
    fn known_files(&self, vm: &Vm) -> Vec<Access> {
        let here = self.workdir.clone().or_else(|| vm.profile().filesystem.workspace.as_ref().map(Into::into));
        let here = here.unwrap_or_else(|| "/".into());
        let named = self.program.iter().skip(1).filter(|argument| !argument.is_empty() && !argument.starts_with('-'));
        let there = named.filter_map(|argument| here.join(argument).canonicalize().ok());
        there.filter_map(|path| Some(Access::Read(path.to_str()?.to_owned()))).collect()
    }

    fn try_out(&self, vm: &Vm, mode: Mode) -> Result<(ExecutionReport, Captured), Failure> {
        let command = self.command(vm, &mode)?;
        let runtime = compose::runtime().map_err(|error| io("the run cannot be waited for", &error))?;
        let outcome = runtime.block_on(relay::run(command, mode, false));
        runtime.shutdown_background();
        outcome
    }

    /// Looks at what the run changed, discards it, and tells both.
    fn tell_tried(&self, told: &DryRun, report: &ExecutionReport, captured: &Captured) -> Result<u8, Failure> {
        let kept = report.changes.as_ref().map(|summary| kept_changes::look_and_discard(&summary.id)).transpose()?;
        let diff = kept.unwrap_or_default();
        if !self.json {
            let mut shown = report.clone();
            // There is nothing left that could be shown or committed.
            shown.changes = None;
            human::print(&shown, self.explain);
        }
        self.tell_dry(told, Some(&Tried { report, captured, diff: &diff }))
    }

    fn tell_dry(&self, told: &DryRun, tried: Option<&Tried<'_>>) -> Result<u8, Failure> {
        let code = match (&told.refusal, tried) {
            (_, Some(tried)) => exit_code::of_cause(&tried.report.cause),
            (Some(error), None) => exit_code::of_error(error.code),
            (None, None) if told.would_start => 0,
            (None, None) => exit_code::REFUSED,
        };
        let name = self.program.first().map_or("", String::as_str);
        if self.json {
            let ran = Ran { identity: self.identity(&told.plane), exit_code: code };
            super::super::print(&dry_run::json(&ran, Some(told), &[], None, tried))?;
        } else {
            super::super::print(&dry_run::text(name, told, tried))?;
        }
        Ok(code)
    }

    /// No plane here runs anything under this policy: each says why.
    fn tell_refused(&self, planes: &[(PlaneDescriptor, Preflight)], failure: &Failure) -> Result<u8, Failure> {
        if self.json {
            let ran = Ran { identity: self.identity(""), exit_code: failure.exit_code() };
            super::super::print(&dry_run::json(&ran, None, planes, Some(failure.error()), None))?;
        } else {
            super::super::print(&dry_run::shortfalls(planes))?;
            failure.print();
        }
        Ok(failure.exit_code())
    }
}
