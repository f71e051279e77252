//! A VM: a tenant with a policy, a workspace and an environment. Nothing crosses from one to another.

use crate::command::Command;
use crate::error::KernelError;
use crate::guard::Guard;
use crate::kernel::{KernelParts, Plane};
use crate::policy::{Access, CompiledPolicy, Decision, Placeholders, Policy};
use crate::prompt::{Asker, PromptDesk};
use crate::recording::{Recording, VmFacts};
use crate::telemetry::{self, Listeners};
use cofferdam_bridge::descriptor::{PlaneDescriptor, Preflight};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::execution::{CreateCommandContextRequest, Explain};
use cofferdam_bridge::ids::{ContextId, ExecutionId, GrantId, VmId};
use cofferdam_bridge::network_scope::NetworkScope;
use cofferdam_bridge::profile::ExecutionProfile;
use cofferdam_bridge::prompt::{Grant, PromptOutcome, PromptQuestion};
use cofferdam_bridge::verdict::Verdict;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::Instrument as _;

/// What a VM is to be.
#[derive(Clone)]
#[must_use]
pub struct VmSpec {
    policy: Policy,
    places: Placeholders,
    host_environment: BTreeMap<String, String>,
    explain: Explain,
    network_scope: NetworkScope,
    session: Option<String>,
}

impl VmSpec {
    /// A VM under `policy`, without workspace, home or host environment.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            places: Placeholders::default(),
            host_environment: BTreeMap::new(),
            explain: Explain::Known,
            network_scope: NetworkScope::Execution,
            session: None,
        }
    }

    /// The directory that is worked in: `{workspace}` of the policy, and where programs start. Absolute and canonical.
    pub fn workspace(mut self, path: impl Into<String>) -> Self {
        self.places.workspace = Some(path.into());
        self
    }

    /// The user's home directory: `{home}` of the policy.
    pub fn home(mut self, path: impl Into<String>) -> Self {
        self.places.home = Some(path.into());
        self
    }

    /// The user's name: `{user}` of the policy.
    pub fn user(mut self, name: impl Into<String>) -> Self {
        self.places.user = Some(name.into());
        self
    }

    /// The working directory of runs: `{cwd}` of the policy.
    pub fn working_directory(mut self, path: impl Into<String>) -> Self {
        self.places.cwd = Some(path.into());
        self
    }

    /// The session that its runs belong to, as the audit log names it.
    pub fn session(mut self, name: impl Into<String>) -> Self {
        self.session = Some(name.into());
        self
    }

    /// How much of what is refused at run time is told in each report.
    pub fn explain(mut self, explain: Explain) -> Self {
        self.explain = explain;
        self
    }

    /// Whether its runs reach each other over the network, where they have not the host's. They do not unless this says so.
    pub fn network_scope(mut self, scope: NetworkScope) -> Self {
        self.network_scope = scope;
        self
    }

    pub(crate) fn has_shared_network(&self) -> bool {
        self.network_scope == NetworkScope::Context
    }

    pub(crate) fn host_variables(&self) -> &BTreeMap<String, String> {
        &self.host_environment
    }

    /// Where `environment.pass` takes values from. Nothing of it crosses that the policy does not name.
    pub fn host_environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.host_environment = variables.into_iter().collect();
        self
    }

    pub(crate) fn compile(&self) -> Result<CompiledPolicy, BridgeError> {
        self.policy.compile(&self.places, &self.host_environment)
    }

    /// Where runs start: as asked, else in the workspace where the policy shows it, else at the root.
    fn start_directory(&self, compiled: &CompiledPolicy) -> String {
        if let Some(directory) = &self.places.cwd {
            return directory.clone();
        }
        let shown = |path: &&String| {
            let decision = compiled.decide(&Access::Read((*path).clone()));
            // Without a rule it is the private temporary folder, which does not hold the host's directories.
            decision.is_ok_and(|decision| decision.verdict == Verdict::Allow && decision.rule.is_some())
        };
        self.places.workspace.as_ref().filter(shown).cloned().unwrap_or_else(|| "/".to_owned())
    }
}

/// A VM under the policy `strict`.
impl Default for VmSpec {
    fn default() -> Self {
        Self::new(Policy::strict())
    }
}

/// Environment values stay out of logs.
impl fmt::Debug for VmSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VmSpec")
            .field("policy", &self.policy.name())
            .field("places", &self.places)
            .finish_non_exhaustive()
    }
}

/// A VM. Clones share it, and each of its runs keeps it: when the last of all these is dropped, everything in it is ended and
/// forgotten. [`forget`](Self::forget) does so at once.
#[derive(Clone, Debug)]
pub struct Vm {
    shared: Arc<SharedVm>,
}

pub(crate) struct SharedVm {
    pub(crate) id: VmId,
    pub(crate) plane: Plane,
    pub(crate) context: ContextId,
    pub(crate) compiled: CompiledPolicy,
    pub(crate) start_directory: String,
    pub(crate) recording: Recording,
    pub(crate) facts: Option<VmFacts>,
    pub(crate) session: Option<String>,
    next_execution: AtomicU64,
    pub(crate) desk: Arc<PromptDesk>,
    pub(crate) guard: Guard,
    pub(crate) listeners: Listeners,
    workspace: Option<String>,
    explain: Explain,
    network_scope: NetworkScope,
    /// Contexts in which one more program may be started, since the host said so.
    granted: Mutex<HashMap<String, ContextId>>,
}

impl fmt::Debug for SharedVm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vm").field("id", &self.id).field("policy", &self.compiled.profile.name).finish_non_exhaustive()
    }
}

impl SharedVm {
    pub(crate) fn next_execution(&self) -> ExecutionId {
        let number = self.next_execution.fetch_add(1, Ordering::Relaxed);
        ExecutionId::new(format!("{}-run-{number}", self.id))
    }

    /// How `execution` of this VM asks the host.
    pub(crate) fn asker(&self, execution: Option<ExecutionId>) -> Asker {
        let remember = self.compiled.profile.prompts.remember;
        let (workspace, session) = (self.workspace.clone(), self.session.clone());
        Asker { vm: self.id.clone(), execution, workspace, session, remember }
    }

    /// Asks the host on behalf of `execution`, and waits for the answer.
    pub(crate) async fn ask(
        &self,
        execution: Option<ExecutionId>,
        question: PromptQuestion,
    ) -> Result<PromptOutcome, BridgeError> {
        let runtime = Handle::try_current().map_err(|_| crate::command::no_runtime())?;
        let (sender, receiver) = oneshot::channel();
        let span = telemetry::prompt(question.access);
        let waiter = Box::new(move |outcome| {
            // Whoever asked may have stopped waiting.
            let _ = sender.send(outcome);
        });
        // Whoever waits for this future no longer takes the question back with it.
        let _ticket = self.desk.ask(&runtime, &self.asker(execution), question, |_| {}, waiter);
        Ok(receiver.instrument(span).await.unwrap_or(PromptOutcome::Cancelled))
    }

    /// A context in which `program` may be started, too.
    pub(crate) fn context_with(&self, program: &str) -> Result<ContextId, BridgeError> {
        let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(context) = granted.get(program) {
            return Ok(context.clone());
        }
        let mut request = CreateCommandContextRequest::new(self.id.clone(), self.compiled.with_program(program)?);
        request.explain = self.explain;
        request.network_scope = self.network_scope;
        let context = self.plane.create_command_context(request)?.context_id;
        granted.insert(program.to_owned(), context.clone());
        Ok(context)
    }
}

impl Drop for SharedVm {
    fn drop(&mut self) {
        self.plane.forget_vm(&self.id);
        self.desk.forget(&self.id);
    }
}

impl Vm {
    pub(crate) fn new(
        id: VmId,
        (plane, preflight): (Plane, Preflight),
        compiled: CompiledPolicy,
        spec: VmSpec,
        parts: KernelParts,
    ) -> Result<Self, KernelError> {
        let KernelParts { recording, desk, guard, listeners } = parts;
        let facts = recording.facts(&plane.describe().name, &compiled, preflight.enforcement);
        let mut request = CreateCommandContextRequest::new(id.clone(), compiled.profile.clone());
        request.explain = spec.explain;
        request.network_scope = spec.network_scope;
        let context = plane.create_command_context(request)?.context_id;
        let (start_directory, next_execution) = (spec.start_directory(&compiled), AtomicU64::new(1));
        let (workspace, explain, granted) = (spec.places.workspace, spec.explain, Mutex::default());
        let (network_scope, session) = (spec.network_scope, spec.session);
        let shared = SharedVm {
            id,
            plane,
            context,
            compiled,
            start_directory,
            recording,
            facts,
            session,
            next_execution,
            desk,
            guard,
            listeners,
            workspace,
            explain,
            network_scope,
            granted,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// A command to run in this VM: an absolute path, or a name that is looked up in the run's `PATH`.
    pub fn command(&self, program: impl Into<String>) -> Command {
        Command::new(self.shared.clone(), program.into())
    }

    /// Ends everything that runs in it, and frees what its plane holds for it. What is started in it afterwards is refused.
    pub fn forget(&self) {
        self.shared.plane.forget_vm(&self.shared.id);
        self.shared.desk.forget(&self.shared.id);
    }

    /// Its id.
    pub fn id(&self) -> &VmId {
        &self.shared.id
    }

    /// The profile that its plane enforces.
    pub fn profile(&self) -> &ExecutionProfile {
        &self.shared.compiled.profile
    }

    /// The plane that it runs on.
    pub fn plane(&self) -> PlaneDescriptor {
        self.shared.plane.describe()
    }

    /// What holds here, and what is missing.
    pub fn preflight(&self) -> Preflight {
        self.shared.plane.preflight(self.profile())
    }

    /// Where programs start unless a command says otherwise.
    pub fn start_directory(&self) -> &str {
        &self.shared.start_directory
    }

    pub(crate) fn shared(&self) -> &SharedVm {
        &self.shared
    }

    /// What the policy says to one access.
    ///
    /// # Errors
    /// `path_invalid` for a path that is not absolute and normalised.
    pub fn decide(&self, access: &Access) -> Result<Decision, KernelError> {
        Ok(self.shared.compiled.decide(access)?)
    }

    /// The same, with the host asked where the policy says so: the verdict is no prompt any more. Whoever drops the future takes the
    /// question back.
    ///
    /// # Errors
    /// As [`decide`](Self::decide), and `invalid_state` outside of a tokio runtime, which holds the time limit.
    pub async fn permit(&self, access: &Access) -> Result<Decision, KernelError> {
        let mut decision = self.decide(access)?;
        if decision.verdict == Verdict::Prompt {
            let question = access.question(&decision);
            let outcome = match question {
                Some(question) => self.shared.ask(None, question).await?,
                None => PromptOutcome::NobodyToAsk,
            };
            decision.verdict = if outcome.is_allowed() { Verdict::Allow } else { Verdict::Deny };
        }
        Ok(decision)
    }

    /// What the host said yes to, as long as this VM lives.
    pub fn grants(&self) -> Vec<Grant> {
        self.shared.desk.grants(&self.shared.id)
    }

    /// Takes one of these back, also while things run: the next request of its kind is asked about again. `false` when there is none of
    /// that id.
    pub fn revoke(&self, id: &GrantId) -> bool {
        self.shared.desk.revoke(&self.shared.asker(None), id)
    }
}
