//! A dry run of an action: what it would ask for, and what the policy says to that.

use super::define::Place;
use super::permission::{self, Beforehand};
use super::registry::Actions;
use crate::dry_run::{Decided, DryRun, decide_all};
use crate::error::KernelError;
use crate::vm::Vm;
use cofferdam_bridge::descriptor::Preflight;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::profile::ExecutionProfile;
use cofferdam_bridge::verdict::Verdict;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// What an action would come to. Nothing was started, and nothing is changed.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct ActionDryRun {
    /// The action's name.
    pub action: String,
    /// Whether it would be run.
    pub would_run: bool,
    /// Whether the host would be asked on the way, whose no would refuse it: `decisions` tells about what.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub would_ask: bool,
    /// Why it would not be: its arguments do not fit, the policy refuses, a program is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<BridgeError>,
    /// What the policy says to what it asks for.
    pub decisions: Vec<Decided>,
    /// The programs that would run, one after the other.
    pub steps: Vec<PlannedStep>,
    /// What would hold, and what is missing.
    pub preflight: Preflight,
    /// The profile that the plane would enforce.
    pub profile: ExecutionProfile,
}

/// A program that would run for an action.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct PlannedStep {
    /// The program, as the action names it.
    pub program: String,
    /// Where it was found, inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How many arguments it would have; they may hold secrets, so they are not told.
    pub arguments_count: usize,
    /// Why it would not be started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<BridgeError>,
}

impl Actions {
    /// What running the action `name` in `vm` would come to. Starts nothing and changes nothing.
    ///
    /// # Errors
    /// `unknown_action`. Whatever else would keep it from being run is in the answer.
    pub fn dry_run(&self, vm: &Vm, name: &str, arguments: &Value) -> Result<ActionDryRun, KernelError> {
        let action = self.find(name)?;
        let mut told = ActionDryRun {
            action: name.to_owned(),
            would_run: false,
            would_ask: false,
            refusal: None,
            decisions: Vec::new(),
            steps: Vec::new(),
            preflight: vm.preflight(),
            profile: vm.profile().clone(),
        };
        let prepared = super::perform::bounded(arguments)
            .and_then(|text| action.prepare(&text, &Place::new(vm.start_directory())));
        let plan = match prepared {
            Ok(prepared) => prepared.plan,
            Err(error) => {
                told.refusal = Some(error);
                return Ok(told);
            }
        };
        told.decisions = decide_all(vm.shared(), &plan.accesses)?;
        for access in &plan.accesses {
            if let Beforehand::Refused(error) = permission::beforehand(vm, access)? {
                told.refusal.get_or_insert(error);
            }
        }
        told.would_ask = told.refusal.is_none() && told.decisions.iter().any(|one| one.verdict == Verdict::Prompt);
        for step in &plan.steps {
            let DryRun { refusal, program, .. } = match self.command(vm, step) {
                Ok((command, _)) => command.dry_run(&[])?,
                Err(error) => {
                    told.refusal.get_or_insert(error);
                    continue;
                }
            };
            if let Some(error) = &refusal {
                told.refusal.get_or_insert_with(|| error.clone());
            }
            let (name, count) = (step.program_name().to_owned(), step.arguments.len());
            told.steps.push(PlannedStep { program: name, path: program, arguments_count: count, refusal });
        }
        told.would_run = told.refusal.is_none() && told.preflight.accepted();
        Ok(told)
    }
}
