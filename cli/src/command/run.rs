//! `cofferdam run`: runs one program under a policy.

#[path = "run_dry.rs"]
mod dry;

use crate::audit_log::{self, Recording};
use crate::compose::{self, Places, PlaneName, absolute};
use crate::failure::{Failure, io};
use crate::kernel_parts::KernelParts;
use crate::report::{human, json};
use crate::terminal::questions::{Questions, Told};
use crate::terminal::relay::{self, Captured, Mode};
use crate::{exit_code, fixed_name, plane_choice, policy_file};
use clap::{Args, ValueEnum};
use cofferdam_bridge::descriptor::Feature;
use cofferdam_bridge::enforcement::Tier;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::ExecutionReport;
use cofferdam_bridge::execution::{Explain, StreamMode};
use cofferdam_bridge::profile::CallProfile;
use cofferdam_kernel::policy::Policy;
use cofferdam_kernel::{Command, Kernel, Vm};
use serde_json::{Map, Value, json};
use std::io::IsTerminal;
use std::path::PathBuf;

/// Runs a program under a policy.
///
/// Without further options the program sees the system's programs and libraries and a private
/// /tmp: none of your files, no network. With --workspace it may also change that directory and read the
/// installed toolchains. Nothing that it starts outlives it. Standard input, output and error
/// are handed through; at a terminal the program gets a terminal of its own.
#[derive(Debug, Args)]
#[command(after_help = concat_help(), override_usage = "cofferdam run [OPTIONS] -- PROGRAM [ARGUMENTS]...")]
pub(crate) struct Run {
    /// The policy: a built-in's name or a file. Unless given, `dev` with a workspace or --overlay and `strict` without.
    #[arg(long, value_name = "FILE|NAME")]
    policy: Option<String>,
    /// The directory that is worked in. With a policy that is named or --overlay, the current one unless given.
    #[arg(long, value_name = "DIR")]
    workspace: Option<PathBuf>,
    /// Keep what it changes in the workspace apart, to be shown, committed or discarded by `cofferdam changes`.
    #[arg(long)]
    overlay: bool,
    /// Let it read this path too.
    #[arg(long, value_name = "PATH")]
    read: Vec<PathBuf>,
    /// Let it change this path too.
    #[arg(long, value_name = "PATH")]
    write: Vec<PathBuf>,
    /// Let it connect to this host and port, by name, such as api.example.com:443 or *.example.org:443; udp://HOST:PORT for datagrams.
    #[arg(long, value_name = "HOST:PORT")]
    allow_net: Vec<String>,
    /// Let this machine reach a port that the program listens on: the same at 127.0.0.1, another, or any that is free (*).
    #[arg(long, value_name = "[HOSTPORT:]PORT")]
    listen: Vec<String>,
    /// Let this name lead to that address, for names that only tests have. Whether it may be dialled is for the policy to say.
    #[arg(long, value_name = "NAME[:PORT]=ADDRESS[:PORT]")]
    resolve: Vec<String>,
    /// Set a variable, or hand on the one of that name.
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// End it after this time, such as 30s or 5m, in place of the policy's limit.
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
    /// End it when it uses more memory, such as 512MiB, in place of the policy's limit.
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// Let it have at most so many processes and threads, in place of the policy's limit.
    #[arg(long, value_name = "COUNT")]
    processes: Option<u64>,
    /// End it when it uses more processor time, such as 60s, in place of the policy's limit.
    #[arg(long, value_name = "TIME")]
    cpu: Option<String>,
    /// Start in this directory; the workspace unless given.
    #[arg(long, value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// Capture what it prints and tell everything as one JSON object.
    #[arg(long, conflicts_with = "tty")]
    json: bool,
    /// Print the JSON Schema of what --json prints, and run nothing.
    #[arg(long)]
    json_schema: bool,
    /// Give it a terminal of its own even when standard output is none.
    #[arg(long, conflicts_with = "no_tty")]
    tty: bool,
    /// Give it no terminal of its own.
    #[arg(long)]
    no_tty: bool,
    /// Tell each file, program, address and call that was refused, by which rule, and what to write to allow it. Costs
    /// time for each call that names a path or an address.
    #[arg(long)]
    explain: bool,
    /// Ask nothing: what the policy says to ask is refused, unless it was granted for always.
    #[arg(long)]
    no_prompt: bool,
    /// Start nothing, and tell what a start would come to: what is decided, what would hold, what is missing. With --overlay the program
    /// runs, without a network, and what it would change is told and discarded.
    #[arg(long)]
    dry_run: bool,
    /// Run it without a record in the audit log.
    #[arg(long)]
    no_audit: bool,
    /// Where it runs: `linux`, `host`, or the program of a plane by its path. Never without isolation unless `host`, or a plane that
    /// has none to offer, is given here.
    #[arg(long, value_name = compose::PLANES, default_value = compose::OWN_PLANE)]
    plane: PlaneName,
    /// The least isolation that will do. `landlock` lets it run where this machine refuses namespaces.
    #[arg(long, value_enum, value_name = "TIER")]
    isolation: Option<Isolation>,
    /// Which system calls it may make once it has started, in place of the policy's word.
    #[arg(long, value_enum, value_name = "PROFILE")]
    calls: Option<Calls>,
    /// The program and its arguments.
    #[arg(last = true, required_unless_present = "json_schema", value_name = "PROGRAM")]
    program: Vec<String>,
}

/// A tier that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Isolation {
    /// Namespaces, Landlock and seccomp together.
    Full,
    /// Landlock, seccomp and the broker; namespaces too where there are some.
    Landlock,
}

/// A profile of system calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Calls {
    /// What ordinary programs make.
    Usual,
    /// No further program is executed.
    NoExec,
    /// Memory, threads, clocks and reading; no processes, no sockets, nothing made or changed.
    Compute,
}

fn concat_help() -> String {
    format!(
        "{}\n\n{}\n\nExamples:\n  cofferdam run --workspace . -- make test\n  \
         cofferdam run --policy strict --read /srv/data --timeout 30s -- python3 count.py\n  \
         cofferdam run --json -- ./untrusted | jq .cause",
        exit_code::HELP,
        audit_log::HELP
    )
}

impl Isolation {
    fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Landlock => "landlock",
        }
    }

    /// As policies have it.
    pub(super) fn tier(self) -> Tier {
        match self {
            Self::Full => Tier::Full,
            Self::Landlock => Tier::Landlock,
        }
    }
}

impl Calls {
    fn name(self) -> &'static str {
        match self {
            Self::Usual => CallProfile::Usual,
            Self::NoExec => CallProfile::NoExec,
            Self::Compute => CallProfile::Compute,
        }
        .name()
    }
}

impl Run {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        if self.json_schema {
            let schema = if self.dry_run { crate::report::dry_run::schema() } else { json::schema() };
            super::print(&schema)?;
            return Ok(0);
        }
        match self.run() {
            Err(failure) if self.json => {
                super::print(&json::of_failure(&self.identity(""), &failure))?;
                Ok(failure.exit_code())
            }
            outcome => outcome,
        }
    }

    fn run(&self) -> Result<u8, Failure> {
        if self.dry_run {
            return self.dry_run();
        }
        let questions = if self.no_prompt { None } else { Questions::possible(self.has_own_terminal()) };
        let names = self.resolve.iter().map(|text| fixed_name::parse(text)).collect::<Result<_, _>>()?;
        let parts = KernelParts::new(self.plane.clone()).recording(self.recording()).names(names);
        let kernel = parts.asking(questions.clone()).kernel()?;
        let ended = self.run_on(&kernel, questions.as_ref());
        compose::close(&kernel);
        ended
    }

    fn run_on(&self, kernel: &Kernel, questions: Option<&Questions>) -> Result<u8, Failure> {
        let places = self.places()?;
        let unisolated = plane_choice::isolates_nothing(kernel, &self.plane);
        let policy = self.narrowed()?;
        let policy = plane_choice::fitting(policy, kernel, &self.plane)?;
        let explain = if self.explain { Explain::Everything } else { Explain::Known };
        let vm = compose::vm(kernel, policy, &places, explain)?;
        let mode = self.mode(&vm);
        let command = self.command(&vm, &mode)?;
        self.tell_who_is_asked(&vm, questions.is_some());
        if unisolated {
            let plane = vm.plane().name;
            human::warn(&format!("nothing is isolated on the {plane} plane: the program can do whatever you can"));
        }
        let typed = !vm.plane().has(Feature::InheritedStreams) && vm.plane().has(Feature::Stdin);
        let runtime = compose::runtime().map_err(|error| io("the run cannot be waited for", &error))?;
        let (report, captured) = runtime.block_on(relay::run_asking(command, mode, typed, questions.cloned()))?;
        if let Some(failure) = &captured.audit_failure {
            human::warn(&format!("the end of this run could not be recorded: {}", failure.message));
        }
        // A thread that still types for the program holds nothing that must be waited for.
        runtime.shutdown_background();
        let asked = questions.map(|questions| questions.told()).unwrap_or_default();
        self.tell(&vm, &report, &captured, &asked)?;
        Ok(exit_code::of_cause(&report.cause))
    }

    fn recording(&self) -> Recording {
        if self.no_audit { Recording::Off } else { Recording::Usual }
    }

    fn places(&self) -> Result<Places, Failure> {
        match (&self.policy, &self.workspace) {
            (None, None) if !self.overlay => Ok(Places::without_workspace()),
            (_, workspace) => Places::find(workspace.as_deref()),
        }
    }

    /// Says beforehand that what the policy says to ask will be refused, and what changes that.
    fn tell_who_is_asked(&self, vm: &Vm, somebody: bool) {
        let profile = vm.profile();
        let asks = profile.asks_about_files() || !profile.prompts.commands.is_empty();
        if somebody || self.no_prompt || self.json || !asks {
            return;
        }
        let why = if std::io::stderr().is_terminal() || std::io::stdin().is_terminal() {
            "the program shares this terminal, so nothing can be asked on it (--tty gives it one of its own)"
        } else {
            "there is no terminal to ask on"
        };
        human::note(&format!("{why}: what the policy says to ask is refused, unless `cofferdam grants list` has it"));
    }

    fn tell(&self, vm: &Vm, report: &ExecutionReport, captured: &Captured, asked: &[Told]) -> Result<(), Failure> {
        if self.json {
            return super::print(&json::of_report(
                &self.identity(&vm.plane().name),
                report,
                captured,
                (asked, vm.sandbox_events(report)),
            ));
        }
        human::print(report, self.explain);
        Ok(())
    }

    fn identity<'a>(&'a self, plane: &'a str) -> json::Identity<'a> {
        let program = self.program.first().map_or("", String::as_str);
        json::Identity { program, arguments: self.program.len().saturating_sub(1), policy: self.policy_name(), plane }
    }

    fn policy_name(&self) -> &str {
        let otherwise = if self.workspace.is_some() || self.overlay { "dev" } else { "strict" };
        self.policy.as_deref().unwrap_or(otherwise)
    }

    /// Whether the program gets a terminal of its own, as far as that is known before there is a plane.
    fn has_own_terminal(&self) -> bool {
        let terminals = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let given = matches!(self.plane, PlaneName::Own | PlaneName::Host);
        given && !self.json && (self.tty || (terminals && !self.no_tty))
    }

    fn mode(&self, vm: &Vm) -> Mode {
        let plane = vm.plane();
        let terminals = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let terminal = self.tty || (terminals && !self.no_tty && plane.has(Feature::Terminal));
        match (self.json, terminal) {
            (true, _) => Mode::Captured,
            (false, true) => Mode::Terminal,
            (false, false) if plane.has(Feature::InheritedStreams) => Mode::Inherited,
            (false, false) => Mode::Relayed,
        }
    }

    fn command(&self, vm: &Vm, mode: &Mode) -> Result<Command, Failure> {
        let (program, arguments) = self.program.split_first().ok_or_else(|| {
            Failure::new(ErrorCode::RequestInvalid, "no program is named").hint("cofferdam run -- PROGRAM ARGUMENTS")
        })?;
        let piped = matches!(mode, Mode::Captured | Mode::Relayed);
        let output = if piped { StreamMode::Piped } else { StreamMode::Inherit };
        let command = compose::command(vm, program, arguments, &self.env, self.workdir.as_deref())?;
        let plane = vm.plane();
        let input = match (plane.has(Feature::InheritedStreams), plane.has(Feature::Stdin)) {
            (true, _) => StreamMode::Inherit,
            (false, true) => StreamMode::Piped,
            (false, false) => StreamMode::Null,
        };
        Ok(command.stdin(input).stdout(output).stderr(output))
    }

    /// What the options say about the network.
    fn network(&self) -> Option<Value> {
        let mut network = Map::new();
        if !self.allow_net.is_empty() {
            network.insert("mode".to_owned(), json!("allowlist"));
            network.insert("allow".to_owned(), json!(self.allow_net));
        }
        if !self.listen.is_empty() {
            network.insert("listen".to_owned(), json!(self.listen));
        }
        (!network.is_empty()).then_some(Value::Object(network))
    }

    /// The policy with what the options say. Options are the host's own words, so they may widen it.
    fn narrowed(&self) -> Result<Policy, Failure> {
        policy_file::find_with(self.policy_name(), self.policy_lines()?.as_deref())
    }

    /// What the options say, as lines of a policy; none where they say nothing.
    fn policy_lines(&self) -> Result<Option<String>, Failure> {
        let mut limits = Map::new();
        let options = [("wall", &self.timeout), ("memory", &self.memory), ("cpu", &self.cpu)];
        for (name, value) in options {
            if let Some(value) = value {
                limits.insert(name.to_owned(), Value::from(value.as_str()));
            }
        }
        if let Some(processes) = self.processes {
            limits.insert("processes".to_owned(), Value::from(processes));
        }
        let isolation = self.isolation.map(|tier| json!({ "require": tier.name() }));
        let calls = self.calls.map(|calls| json!({ "calls": calls.name() }));
        let network = self.network();
        let sections = [("isolation", isolation), ("commands", calls), ("network", network)];
        let unchanged = sections.iter().all(|(_, section)| section.is_none()) && !self.overlay;
        if limits.is_empty() && self.read.is_empty() && self.write.is_empty() && unchanged {
            return Ok(None);
        }
        let mut lines = json!({
            "version": 1,
            "filesystem": { "read": entries(&self.read)?, "write": entries(&self.write)? },
            "limits": limits,
        });
        if let Some(filesystem) = lines.get_mut("filesystem").and_then(Value::as_object_mut).filter(|_| self.overlay) {
            filesystem.insert("changes".to_owned(), Value::from("overlay"));
        }
        if let Some(lines) = lines.as_object_mut() {
            let given = sections.into_iter().filter_map(|(name, section)| Some((name.to_owned(), section?)));
            lines.extend(given);
        }
        Ok(Some(lines.to_string()))
    }
}

/// Paths as entries that mean just what was typed: no wildcards.
pub(super) fn entries(paths: &[PathBuf]) -> Result<Vec<String>, Failure> {
    paths.iter().map(|path| Ok(format!("literal:{}", absolute(path)?))).collect()
}
