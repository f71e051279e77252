//! A dry run: what a start would come to, without starting anything.

use crate::command::Command;
use crate::error::KernelError;
use crate::policy::Access;
use crate::vm::{SharedVm, Vm};
use cofferdam_bridge::descriptor::Preflight;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::ids::ExecutionId;
use cofferdam_bridge::profile::{Changes, ExecutionProfile, NetworkMode, PathEffect, PathPattern};
use cofferdam_bridge::verdict::{RuleRef, Verdict};
use schemars::JsonSchema;
use serde::Serialize;

/// What a start would come to. Nothing was started, and nothing is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct DryRun {
    /// Whether the program would be started.
    pub would_start: bool,
    /// Why it would not be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<BridgeError>,
    /// The plane that it would run on.
    pub plane: String,
    /// Where the program was found, inside; absent where the plane does not tell, or where it would not be started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Where it would start.
    pub working_directory: String,
    /// The names of the variables that it would have. Their values are not told.
    pub environment: Vec<String>,
    /// What the policy says to each access that is known beforehand.
    pub decisions: Vec<Decided>,
    /// What would hold, and what is missing.
    pub preflight: Preflight,
    /// The profile that the plane would enforce.
    pub profile: ExecutionProfile,
}

/// What the policy says to one access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Decided {
    /// What is asked for, such as `filesystem.read`.
    pub access: String,
    /// The path, program, address or mode that it is asked of.
    pub subject: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The rule that decided; absent where none matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleRef>,
    /// For a refusal: what to write to allow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Access {
    /// Its name, as denials have it, and what it is asked of.
    pub(crate) fn told(&self) -> (&'static str, String) {
        match self {
            Self::Read(path) => ("filesystem.read", path.clone()),
            Self::Write(path) => ("filesystem.write", path.clone()),
            Self::Execute(path) => ("command.execute", path.clone()),
            Self::Connect(host, port) => ("network.connect", format!("{host}:{port}")),
            Self::Send(host, port) => ("network.send", format!("{host}:{port}/udp")),
            Self::Environment(name) => ("environment.read", name.clone()),
        }
    }
}

impl Command {
    /// What [`spawn`](Self::spawn) would come to, by the same checks, and what the policy says to `accesses` besides what a start itself
    /// asks for. Starts nothing, changes nothing, and needs no runtime. What the program would do once it runs is not known.
    ///
    /// # Errors
    /// `path_invalid` for an access whose path is not absolute and normalised. A start that would be refused is no error.
    pub fn dry_run(self, accesses: &[Access]) -> Result<DryRun, KernelError> {
        let vm = self.vm.clone();
        let checked = self.check();
        let request = self.into_request(ExecutionId::new(format!("{}-dry-run", vm.id)));
        let rehearsed = checked.and_then(|_| match vm.plane.rehearse_execution(&request) {
            Ok(found) => Ok(Some(found)),
            // A plane that cannot tell beforehand looks for the program when it starts it.
            Err(error) if error.code == ErrorCode::UnsupportedOperation => Ok(None),
            Err(error) => Err(error.into()),
        });
        let (found, refusal) = match rehearsed {
            Ok(found) => (found.map(|found| found.program), None),
            Err(error) => (None, Some(error.error().clone())),
        };
        let program = found.clone().or_else(|| request.program.starts_with('/').then(|| request.program.clone()));
        let directory = request.working_directory.clone();
        let mut asked: Vec<Access> = program.into_iter().map(Access::Execute).collect();
        asked.extend([Access::Read(directory.clone()), Access::Write(directory.clone())]);
        asked.extend(accesses.iter().cloned());
        let mut decisions = decide_all(&vm, &asked)?;
        decisions.push(network(&vm));
        let preflight = vm.plane.preflight(&vm.compiled.profile);
        Ok(DryRun {
            would_start: refusal.is_none() && preflight.accepted(),
            refusal,
            plane: vm.plane.describe().name,
            program: found,
            working_directory: directory,
            environment: request.environment.into_keys().collect(),
            decisions,
            preflight,
            profile: vm.compiled.profile.clone(),
        })
    }
}

/// What the policy says to each of `asked`, once.
pub(crate) fn decide_all(vm: &SharedVm, asked: &[Access]) -> Result<Vec<Decided>, KernelError> {
    let mut decisions: Vec<Decided> = Vec::new();
    for access in asked {
        let (name, subject) = access.told();
        if decisions.iter().any(|decided| decided.access == name && decided.subject == subject) {
            continue;
        }
        let decision = vm.compiled.decide(access)?;
        decisions.push(Decided {
            access: name.to_owned(),
            subject,
            verdict: decision.verdict,
            rule: decision.rule,
            remedy: decision.remedy,
        });
    }
    Ok(decisions)
}

/// What holds for the network as a whole: single addresses are not known beforehand.
fn network(vm: &SharedVm) -> Decided {
    let (mode, verdict) = match vm.compiled.profile.network.mode {
        NetworkMode::Inherit => ("the host's own network", Verdict::Allow),
        NetworkMode::Allowlist => ("what `network.allow` names", Verdict::Allow),
        // A mode that is not known here never means allow.
        _ => ("any address but its own loopback", Verdict::Deny),
    };
    let (access, subject) = ("network.connect".to_owned(), mode.to_owned());
    Decided { access, subject, verdict, rule: None, remedy: None }
}

impl Vm {
    /// Whether all that a run in this VM could change is kept apart, so that it can be run and forgotten: an overlay, no network but its
    /// own, and nothing to write to beside the workspace and private temporary folders.
    ///
    /// # Errors
    /// `request_invalid` with what would be changed for real.
    pub fn keeps_everything_apart(&self) -> Result<(), KernelError> {
        let profile = self.profile();
        let workspace =
            profile.filesystem.workspace.as_deref().filter(|_| profile.filesystem.changes == Changes::Overlay);
        let Some(workspace) = workspace else {
            return Err(
                not_apart("the workspace", "filesystem.changes is not \"overlay\", or there is no workspace").into()
            );
        };
        if profile.network.mode != NetworkMode::Deny {
            return Err(not_apart("whatever it reaches over the network", "network.mode is not \"deny\"").into());
        }
        let writable = profile.filesystem.rules.iter().filter(|rule| rule.effect == PathEffect::Write);
        for rule in writable {
            let (PathPattern::Literal(path) | PathPattern::Glob(path)) = &rule.pattern else {
                return Err(not_apart("places of a kind unknown here", &rule.rule.text).into());
            };
            // In a pattern the workspace's own name stands escaped where it holds such signs, and is not recognised.
            let plain = matches!(rule.pattern, PathPattern::Literal(_)) || !workspace.contains(['*', '?', '[', '\\']);
            if !plain || !std::path::Path::new(path).starts_with(workspace) {
                let by = format!("`{}` ({})", rule.rule.text, rule.rule.place());
                return Err(not_apart(path, &by).into());
            }
        }
        Ok(())
    }
}

/// The error of a dry run whose changes would not all be kept apart.
fn not_apart(place: &str, why: &str) -> BridgeError {
    let message = format!(
        "the run could change {place}, which no overlay keeps apart ({why}), so that it would happen for real; change the policy, or \
         ask for a dry run without an overlay, which starts nothing"
    );
    BridgeError::new(ErrorCode::RequestInvalid, message).with("place", place)
}
