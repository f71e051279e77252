//! A profile compiled for one VM: worked out once, used by each start.

use crate::broker;
use crate::format::{op, proof, run};
use crate::plan::brokered::Brokered;
use crate::plan::encode::Plan;
use crate::plan::view::{TEMPORARY, View};
use crate::plan::{landlock, limits, root};
use crate::preflight::Offer;
use crate::prepared::Prepared;
use crate::seccomp::{self, BpfInstruction, FilterOptions};
use cofferdam_bridge::decide::FilesystemRules;
use cofferdam_bridge::enforcement::{Enforcement, Tier};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::execution::{StartExecutionRequest, Streams};
use cofferdam_bridge::ids::VmId;
use cofferdam_bridge::profile::{ExecutionProfile, NetworkMode, Temporary};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What is set where the run has private temporary folders: every name that programs look for them by.
const TEMPORARY_VARIABLES: [(&str, &str); 5] = [
    ("TMPDIR", "/tmp"),
    ("TMP", "/tmp"),
    ("TEMP", "/tmp"),
    ("TMPPREFIX", "/tmp/zsh"),
    ("XDG_RUNTIME_DIR", "/tmp/.run"),
];

/// What a start needs of its context.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) vm_id: VmId,
    pub(crate) profile: ExecutionProfile,
    pub(crate) view: View,
    pub(crate) tier: Tier,
    pub(crate) namespaces: i32,
    /// What holds for each run, but for limits.
    pub(crate) enforcement: Enforcement,
    /// Whether the filter asks the supervisor about some calls.
    pub(crate) brokered: Brokered,
    /// The rules that the broker judges by.
    pub(crate) rules: Option<Arc<FilesystemRules>>,
    before_terminal: Plan,
    after_terminal: Plan,
    filter: Vec<u8>,
}

impl Context {
    /// Compiles `profile` for the tier that `offer` gives.
    pub(crate) fn new(
        vm_id: VmId,
        profile: ExecutionProfile,
        prepared: Prepared,
        offer: &Offer,
    ) -> Result<Self, BridgeError> {
        let Prepared { view, brokered } = prepared;
        let namespaces = offer.namespaces(&profile);
        let full = offer.tier == Tier::Full;
        let mut before_terminal = Plan::default();
        if full {
            root::build(&mut before_terminal, &view, profile.limits.disk_bytes);
        }
        let mut after_terminal = Plan::default();
        limits::build(&mut after_terminal, &profile.limits);
        if let Some(rights) = offer.landlock {
            let deny_tcp = !full && profile.network.mode == NetworkMode::Deny;
            landlock::build(&mut after_terminal, &view, rights, deny_tcp, full);
        }
        after_terminal.add(op::DROP_PRIVILEGES, "privileges");
        let filter = FilterOptions { tier: offer.tier, broker_names: brokered.names, broker_opens: brokered.reads };
        let filter = bytes_of(&seccomp::compile(&filter));
        let (tier, enforcement) = (offer.tier, offer.enforcement(&profile, brokered));
        let rules = brokered.any().then(|| broker::rules(&profile, &view.rules)).transpose()?;
        Ok(Self {
            vm_id,
            profile,
            view,
            tier,
            namespaces,
            enforcement,
            brokered,
            rules,
            before_terminal,
            after_terminal,
            filter,
        })
    }

    /// The whole plan of one start. `program` is the absolute path that was found for the request.
    pub(crate) fn plan(&self, request: &StartExecutionRequest, program: &Path) -> Plan {
        let mut plan = self.before_terminal.clone();
        let mut flags = 0;
        if let Streams::Terminal { size } = request.streams {
            plan.add(op::TERMINAL, "terminal").u16(size.rows).u16(size.columns);
            flags |= run::TERMINAL;
        }
        if self.tier != Tier::Full {
            flags |= run::NO_PID_NAMESPACE;
        }
        plan.append(&self.after_terminal);
        plan.add(op::CHANGE_DIRECTORY, request.working_directory.as_str()).text(&request.working_directory);
        plan.add(op::UMASK, "umask").u32(0o022);
        let listener = if self.brokered.any() { crate::format::seccomp::LISTENER } else { 0 };
        plan.add(op::SECCOMP, "seccomp").u32(listener).text(&self.filter);
        plan.add(op::PROVE, "proof").u32(self.proof());
        // As late as can be: the cgroup is made meanwhile.
        plan.add(op::JOIN_CGROUPS, "cgroup");
        let program = program.as_os_str().as_encoded_bytes();
        let mut arguments = vec![request.program.as_bytes().to_vec()];
        arguments.extend(request.arguments.iter().map(|argument| argument.as_bytes().to_vec()));
        let operation = plan.add(op::RUN, String::from_utf8_lossy(program));
        drop(operation.u32(flags).text(program).texts(&arguments).texts(&self.environment(request)));
        plan
    }

    fn proof(&self) -> u32 {
        let always = proof::NO_CAPABILITIES | proof::NO_NEW_PRIVILEGES | proof::SECCOMP;
        if self.tier == Tier::Full { always | proof::PID_ONE } else { always }
    }

    fn environment(&self, request: &StartExecutionRequest) -> Vec<Vec<u8>> {
        let mut variables: BTreeMap<&str, &str> =
            request.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if self.profile.filesystem.temporary == Temporary::Private && self.view.nodes.contains_key(Path::new(TEMPORARY))
        {
            variables.extend(TEMPORARY_VARIABLES);
        }
        variables.iter().map(|(name, value)| format!("{name}={value}").into_bytes()).collect()
    }
}

/// `struct sock_filter`s as the launcher hands them to the kernel.
fn bytes_of(instructions: &[BpfInstruction]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(instructions.len() * 8);
    for instruction in instructions {
        bytes.extend_from_slice(&instruction.code.to_ne_bytes());
        bytes.extend_from_slice(&[instruction.jt, instruction.jf]);
        bytes.extend_from_slice(&instruction.k.to_ne_bytes());
    }
    bytes
}
