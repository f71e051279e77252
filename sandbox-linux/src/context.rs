//! A profile compiled for one VM: worked out once, used by each start.

use crate::broker::{self, Watch};
use crate::changes::OverlayPlace;
use crate::format::{account, hold, op, proof, run};
use crate::launcher::Launcher;
use crate::network::{self, Outside, OwnLoopback, Proxied, SharedPorts, trust_files};
use crate::parked::Parked;
use crate::plan::brokered::Brokered;
use crate::plan::encode::Plan;
use crate::plan::landlock::{Tcp, Wall};
use crate::plan::landlock_rights::Rights;
use crate::plan::view::{Node, TEMPORARY, View};
use crate::plan::{landlock, limits, root};
use crate::preflight::Offer;
use crate::prepared::Prepared;
use crate::program::Program;
use crate::seccomp::{self, Asked, Network, Profile, ProgramFilter, Variant};
use crate::shared_network::SharedNetwork;
use cofferdam_bridge::decide::FilesystemRules;
use cofferdam_bridge::enforcement::{Enforcement, Tier};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::{StartExecutionRequest, Streams};
use cofferdam_bridge::ids::VmId;
use cofferdam_bridge::profile::{CallProfile, Changes, ExecutionProfile, NetworkMode, Temporary};
use cofferdam_plane_kit::network::https::Authority;
use cofferdam_plane_kit::process_tree::tasks_of_user;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
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
    /// What leads to the places that the policy shows, where there are no mounts.
    pub(crate) ways: Arc<BTreeSet<PathBuf>>,
    /// What looking at more calls needs, where refusals are to be explained.
    pub(crate) watch: Option<Watch>,
    /// Empty where each start has an overlay of its own.
    before_terminal: Plan,
    /// Without namespaces it depends on where temporary storage is: made for each start.
    after_terminal: Option<Plan>,
    landlock: Option<Rights>,
    filter: &'static [u8],
    /// Where its runs meet, if they do.
    pub(crate) network: Option<Arc<SharedNetwork>>,
    /// What is listened on inside, where the policy names hosts.
    pub(crate) ports: network::Ports,
    /// The host's ports by which its runs are visited, where they share them without sharing a network.
    pub(crate) ports_of_all: Option<Arc<SharedPorts>>,
    /// By whom TLS is ended, where rules are about what is inside it.
    pub(crate) authority: Option<Arc<Authority>>,
}

/// What one start has of its own.
#[derive(Clone, Copy, Default)]
pub(crate) struct Own<'a> {
    /// Where its temporary storage is on the host, where there are no mounts.
    pub(crate) temporary: Option<&'a Path>,
    /// Where its changes are kept apart.
    pub(crate) overlay: Option<&'a OverlayPlace>,
    /// By what it reaches hosts, where it has no network of its own.
    pub(crate) proxy: Option<&'a Proxied>,
}

impl Context {
    /// Compiles `profile` for `tier`, which `offer` gives.
    pub(crate) fn new(
        vm_id: VmId,
        profile: ExecutionProfile,
        prepared: Prepared,
        offer: &Offer,
        tier: Tier,
        explains: bool,
    ) -> Result<Self, BridgeError> {
        let Prepared { mut view, mut brokered, authority, .. } = prepared;
        if explains {
            brokered = brokered.explained();
        }
        if tier != Tier::Full {
            brokered = brokered.without_mounts();
            view.unplant();
        }
        // An overlay refuses to rename a directory that lies beneath it; the broker does it in its place.
        brokered.moves = profile.filesystem.changes == Changes::Overlay;
        brokered.names |= brokered.moves;
        let network_tells = match profile.network.mode {
            NetworkMode::Inherit => true,
            NetworkMode::Allowlist => tier == Tier::Full,
            _ => false,
        };
        let network = match profile.network.mode {
            NetworkMode::Inherit => Network::Host,
            NetworkMode::Allowlist => Network::Asked,
            _ if !profile.network.publish.is_empty() => Network::Asked,
            _ => Network::Closed,
        };
        let own_programs = view.has_own_programs();
        let plain = match tier {
            Tier::Full => Variant::Full { asked: asked(brokered), sockets: brokered.sockets, own_programs },
            _ => Variant::Landlock { network, own_programs },
        };
        let watch = brokered.explains.then(|| Watch { plain, commands: profile.commands.clone(), network_tells });
        let filter = if watch.is_some() { plain.watched() } else { plain };
        let rules = brokered.any().then(|| broker::rules(&profile, &view.rules)).transpose()?;
        let mut context = Self {
            vm_id,
            tier,
            namespaces: offer.namespaces(&profile, tier),
            enforcement: offer.enforcement(&profile, brokered, tier),
            brokered,
            rules,
            ways: Arc::new(if tier == Tier::Full { BTreeSet::new() } else { broker::ways(&view) }),
            before_terminal: Plan::default(),
            after_terminal: None,
            landlock: offer.landlock,
            filter: seccomp::filter(filter),
            network: None,
            ports: network::Ports::default(),
            ports_of_all: None,
            authority,
            watch,
            profile,
            view,
        };
        if tier == Tier::Full {
            if context.profile.network.mode == NetworkMode::Allowlist {
                let ports = network::ports(&context.profile);
                let too_many = |why| BridgeError::new(ErrorCode::UnsupportedBackendFeature, why);
                context.ports = ports.map_err(too_many)?;
            }
            if !context.keeps_changes_apart() {
                root::build(&mut context.before_terminal, &context.view, context.profile.limits.disk_bytes, None);
            }
            context.after_terminal = Some(context.confine(Wall::Second));
        }
        Ok(context)
    }

    /// The same profile on the host as it is now.
    pub(crate) fn anew(&self, offer: &Offer) -> Result<Self, BridgeError> {
        let profile = self.profile.clone();
        // Of a network that is there already the authority stays.
        let prepared = Prepared::with_authority(&profile, self.authority.clone())?;
        let anew = Self::new(self.vm_id.clone(), profile, prepared, offer, self.tier, self.brokered.explains)?;
        let anew = Self { ports_of_all: self.ports_of_all.clone(), ..anew };
        Ok(match &self.network {
            Some(network) => anew.meeting_in(network.clone()),
            None => anew,
        })
    }

    /// Whether its runs have a network of their own.
    pub(crate) fn has_own_network(&self) -> bool {
        self.namespaces & libc::CLONE_NEWNET != 0
    }

    /// Whether each of its runs has ports of its own published.
    pub(crate) fn publishes_alone(&self) -> bool {
        self.has_own_network() && !self.profile.network.publish.is_empty()
    }

    /// Whether its runs have no network of their own, and listen at places of the host's loopback on what is published.
    pub(crate) fn publishes_on_loopback(&self) -> bool {
        self.is_walled() && !self.profile.network.publish.is_empty()
    }

    /// Whether the broker holds what sockets of the network reach.
    fn is_walled(&self) -> bool {
        self.tier != Tier::Full && self.profile.network.mode != NetworkMode::Inherit
    }

    /// What a run may reach of the network, where the broker holds it: `proxy`, and itself at `loopback`.
    pub(crate) fn walls(&self, proxy: Option<&Proxied>, loopback: Option<Arc<OwnLoopback>>) -> Option<broker::Walls> {
        self.is_walled().then(|| broker::Walls::new(proxy.map(Proxied::port), loopback, &self.profile.network))
    }

    /// The same with ports that all its runs share.
    pub(crate) fn visited_together(self) -> Self {
        Self { ports_of_all: Some(Arc::default()), ..self }
    }

    /// The same with a network that all its runs share.
    pub(crate) fn meeting_in(mut self, network: Arc<SharedNetwork>) -> Self {
        self.namespaces &= !libc::CLONE_NEWNET;
        self.network = Some(network);
        self
    }

    /// The places on the host that a run can write to, each with its device.
    pub(crate) fn writable(&self) -> impl Iterator<Item = (PathBuf, u64)> {
        let on_host = (self.tier != Tier::Full).then(std::env::temp_dir);
        let with_device = |path: PathBuf| path.metadata().ok().map(|metadata| (path, metadata.dev()));
        self.view.writable().chain(on_host.and_then(with_device))
    }

    /// Whether runs have the host's network.
    pub(crate) fn shares_network(&self) -> bool {
        !self.has_own_network() && self.network.is_none()
    }

    /// Whether changes in the workspace are kept apart.
    pub(crate) fn keeps_changes_apart(&self) -> bool {
        self.profile.filesystem.changes == Changes::Overlay
    }

    /// Starts a launcher for one run.
    pub(crate) fn park(&self, launcher: &Launcher) -> Result<Parked, BridgeError> {
        if let Some(network) = &self.network {
            return Parked::in_network(launcher, self.namespaces, network);
        }
        if self.tier == Tier::Full {
            return Parked::in_namespaces(launcher, self.namespaces);
        }
        Parked::guarded(launcher, self.view.nodes.contains_key(Path::new(TEMPORARY)))
    }

    /// What comes between opening a terminal and running the program: limits, Landlock, privileges.
    fn confine(&self, wall: Wall<'_>) -> Plan {
        let mut plan = Plan::default();
        // While it can still be opened; the program itself may not be allowed to look there.
        let own = if self.tier == Tier::Full { account::OWN_NUMBERS } else { 0 };
        plan.add(op::ACCOUNT, "accounts").u32(own);
        let others = if self.tier == Tier::Full { 0 } else { tasks_of_user(nix::unistd::getuid().as_raw()) };
        limits::build(&mut plan, &self.profile.limits, others);
        if let Some(rights) = self.landlock {
            landlock::build(&mut plan, &self.view, rights, wall);
        }
        plan.add(op::DROP_PRIVILEGES, "privileges");
        plan
    }

    /// Whether launchers for it can be confined before there is a program to run.
    pub(crate) fn can_be_pooled(&self) -> bool {
        self.tier == Tier::Full && !self.brokered.explains && !self.keeps_changes_apart()
    }

    /// What comes first: its network, unless that is there already, and the root.
    fn beginning(&self) -> Plan {
        if self.ports.is_empty() || self.network.is_some() {
            return self.before_terminal.clone();
        }
        let mut plan = Plan::default();
        network::listen(&mut plan, &self.ports);
        plan.append(&self.before_terminal);
        plan
    }

    /// Everything that comes before the program itself and is the same for all that run without a terminal.
    pub(crate) fn confinement(&self) -> Result<Plan, BridgeError> {
        let mut plan = self.beginning();
        self.confined(&mut plan, Own::default());
        self.filtered(&mut plan)?;
        plan.add(op::READY, "ready");
        plan.add(op::NEXT_PLAN, "");
        Ok(plan)
    }

    /// What a confined launcher still needs.
    pub(crate) fn rest(&self, request: &StartExecutionRequest, program: &Program) -> Plan {
        let mut plan = Plan::default();
        self.held(&mut plan, program);
        self.placed(&mut plan, request, None);
        self.run(&mut plan, request, program, Own::default(), 0);
        plan
    }

    /// A proxy for one run, where the policy names hosts and no network namespace holds them.
    pub(crate) fn proxy(&self, outside: &Outside) -> io::Result<Option<Proxied>> {
        let wanted = self.tier != Tier::Full && self.profile.network.mode == NetworkMode::Allowlist;
        wanted.then(|| Proxied::start(&self.profile, &outside.ending_tls_by(&self.authority))).transpose()
    }

    /// The whole plan of one start. `program` is the absolute path that was found for the request.
    pub(crate) fn plan(
        &self,
        request: &StartExecutionRequest,
        program: &Program,
        own: Own<'_>,
    ) -> Result<Plan, BridgeError> {
        let Own { temporary, overlay, .. } = own;
        let mut plan = self.beginning();
        if overlay.is_some() {
            root::build(&mut plan, &self.view, self.profile.limits.disk_bytes, overlay);
        }
        let mut flags = 0;
        if let Streams::Terminal { size } = request.streams {
            plan.add(op::TERMINAL, "terminal").u16(size.rows).u16(size.columns);
            flags |= run::TERMINAL;
        }
        if self.tier != Tier::Full {
            flags |= run::NO_PID_NAMESPACE;
        }
        if let (Some(temporary), Some(authority)) = (temporary, &self.authority) {
            trust_files::make(&mut plan, temporary, authority);
        }
        self.confined(&mut plan, own);
        self.held(&mut plan, program);
        self.placed(&mut plan, request, temporary);
        self.filtered(&mut plan)?;
        self.run(&mut plan, request, program, own, flags);
        Ok(plan)
    }

    fn confined(&self, plan: &mut Plan, own: Own<'_>) {
        let tcp = match (self.profile.network.mode, own.proxy) {
            (NetworkMode::Inherit, _) => Tcp::Any,
            (NetworkMode::Allowlist, Some(proxy)) => Tcp::To(proxy.port()),
            _ => Tcp::None,
        };
        match &self.after_terminal {
            Some(same_for_all) => plan.append(same_for_all),
            None => plan.append(&self.confine(Wall::Only { temporary: own.temporary.unwrap_or(Path::new("")), tcp })),
        }
    }

    /// Opens again inside what was opened and checked outside.
    fn held(&self, plan: &mut Plan, program: &Program) {
        let Program::Held(held) = program else { return };
        let workspace = self.profile.filesystem.workspace.as_ref().filter(|_| self.keeps_changes_apart());
        for file in std::iter::once(&held.binary).chain(held.scripts()) {
            let overlaid = workspace.is_some_and(|workspace| file.path.starts_with(workspace));
            let flags = if overlaid { hold::ANY_DEVICE } else { 0 };
            let path = file.path.as_os_str().as_encoded_bytes();
            let operation = plan.add(op::HOLD, String::from_utf8_lossy(path));
            drop(operation.u32(flags).u64(file.device).u64(file.inode).text(path));
        }
    }

    fn placed(&self, plan: &mut Plan, request: &StartExecutionRequest, temporary: Option<&Path>) {
        let directory = self.inside_or_host(&request.working_directory, temporary);
        plan.add(op::CHANGE_DIRECTORY, directory.as_ref()).text(directory.as_ref());
        plan.add(op::UMASK, "umask").u32(0o022);
    }

    fn filtered(&self, plan: &mut Plan) -> Result<(), BridgeError> {
        let listener = if self.brokered.any() { crate::format::seccomp::LISTENER } else { 0 };
        plan.add(op::SECCOMP, "seccomp").u32(listener).text(self.filter);
        if let Some(profile) = call_profile(self.profile.commands.calls)? {
            let ProgramFilter { secret: [one, other], instructions } = ProgramFilter::new(profile)?;
            plan.add(op::PROGRAM_FILTER, "program").u64(one).u64(other).text(instructions);
        }
        plan.add(op::PROVE, "proof").u32(self.proof());
        // As late as can be: the cgroup is made meanwhile.
        plan.add(op::JOIN_CGROUPS, "cgroup");
        limits::open_files(plan, &self.profile.limits);
        Ok(())
    }

    fn run(&self, plan: &mut Plan, request: &StartExecutionRequest, program: &Program, own: Own<'_>, mut flags: u32) {
        let mut arguments = vec![request.program.clone()];
        arguments.extend_from_slice(&request.arguments);
        if request.output_wait_ms > 0 {
            flags |= run::OUTPUT_WAIT;
        }
        if let Program::Held(held) = program {
            flags |= run::HELD;
            arguments = held.arguments(request.program.clone(), request.arguments.clone(), hold::SCRIPT_FD);
        }
        let arguments: Vec<Vec<u8>> = arguments.into_iter().map(String::into_bytes).collect();
        let program = program.path().as_os_str().as_encoded_bytes();
        let operation = plan.add(op::RUN, String::from_utf8_lossy(program));
        drop(operation.u32(flags).text(program).texts(&arguments).texts(&self.environment(request, own)));
    }

    fn proof(&self) -> u32 {
        let always = proof::NO_CAPABILITIES | proof::NO_NEW_PRIVILEGES | proof::SECCOMP;
        if self.tier == Tier::Full {
            return always | proof::PID_ONE | proof::NO_BOUNDING_SET;
        }
        // Only root can empty the bounding set of the host's user namespace; for others no_new_privs makes it mean nothing.
        let bounding = if nix::unistd::geteuid().is_root() { proof::NO_BOUNDING_SET } else { 0 };
        always | bounding | proof::SIGNAL_SCOPE
    }

    /// `text`, or the path on the host where `text` is one in temporary storage and that lies on the host.
    fn inside_or_host<'a>(&self, text: &'a str, temporary: Option<&Path>) -> Cow<'a, str> {
        let path = Path::new(text);
        let is_temporary = path.is_absolute() && matches!(self.view.covering(path), Some((_, Node::Temporary { .. })));
        match (temporary, path.strip_prefix(TEMPORARY)) {
            (Some(temporary), Ok(rest)) if is_temporary => {
                let place = if rest.as_os_str().is_empty() { temporary.to_owned() } else { temporary.join(rest) };
                Cow::Owned(place.to_string_lossy().into_owned())
            }
            _ => Cow::Borrowed(text),
        }
    }

    fn environment(&self, request: &StartExecutionRequest, own: Own<'_>) -> Vec<Vec<u8>> {
        let mut variables: BTreeMap<&str, &str> =
            request.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if self.profile.filesystem.temporary == Temporary::Private && self.view.nodes.contains_key(Path::new(TEMPORARY))
        {
            variables.extend(TEMPORARY_VARIABLES);
        }
        let proxy = own.proxy.map(Proxied::environment).unwrap_or_default();
        variables.extend(proxy.iter().map(|(name, value)| (*name, value.as_str())));
        let trusted: Vec<_> = self.authority.iter().flat_map(|_| trust_files::variables(self.tier)).collect();
        variables.extend(trusted.iter().map(|(name, value)| (*name, value.as_str())));
        let host = |value: &str| self.inside_or_host(value, own.temporary).into_owned();
        variables.iter().map(|(name, value)| format!("{name}={}", host(value)).into_bytes()).collect()
    }
}

/// What of `brokered` the filter sends, in the tier with mounts.
fn asked(brokered: Brokered) -> Asked {
    match brokered {
        Brokered { reads: true, .. } => Asked::NamesAndOpens,
        Brokered { names: true, .. } => Asked::Names,
        _ => Asked::Nothing,
    }
}

/// The filter that a program gets for itself. What this plane does not know it does not run.
pub(crate) fn call_profile(calls: CallProfile) -> Result<Option<Profile>, BridgeError> {
    match calls {
        CallProfile::Usual => Ok(None),
        CallProfile::NoExec => Ok(Some(Profile::NoExec)),
        CallProfile::Compute => Ok(Some(Profile::Compute)),
        other => Err(BridgeError::new(
            ErrorCode::UnsupportedBackendFeature,
            format!("this plane does not know the profile of system calls `{}`; use a release that does", other.name()),
        )),
    }
}
