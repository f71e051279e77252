//! `cofferdam action run`.

use super::action::{actions, worker};
use super::run::entries;
use crate::audit_log::Recording;
use crate::compose::{self, Places, PlaneName};
use crate::failure::{Failure, io};
use crate::job_files::JobFile;
use crate::kept_changes;
use crate::kernel_parts::KernelParts;
use crate::report::human;
use crate::terminal::questions::Questions;
use crate::{escape, exit_code, policy_file};
use clap::Args;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::Explain;
use cofferdam_kernel::action::{ActionOptions, ActionResult, LONGEST_ARGUMENTS};
use cofferdam_kernel::policy::Policy;
use serde_json::{Value, json};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Runs an action inside the sandbox, and prints what came of it as one JSON object.
///
/// Actions on files and over HTTP are done by this same program, which the sandbox shows and lets be executed for that.
#[derive(Debug, Args)]
#[command(after_help = help())]
pub(crate) struct Run {
    /// Its name.
    name: String,
    /// Its arguments, as JSON, or `-` for standard input.
    #[arg(long, value_name = "JSON|-", default_value = "{}")]
    arguments: String,
    /// The policy: a built-in's name or a file.
    #[arg(long, value_name = "FILE|NAME", default_value = "dev")]
    policy: String,
    /// The directory that is worked in; the current one unless given.
    #[arg(long, value_name = "DIR")]
    workspace: Option<PathBuf>,
    /// Let it read this path too.
    #[arg(long, value_name = "PATH")]
    read: Vec<PathBuf>,
    /// Let it change this path too.
    #[arg(long, value_name = "PATH")]
    write: Vec<PathBuf>,
    /// Keep what it changes in the workspace apart, to be shown, committed or discarded by `cofferdam changes`.
    #[arg(long)]
    overlay: bool,
    /// End it after so many milliseconds. Whatever it waits for counts, an answer at the terminal, too.
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    timeout_ms: u64,
    /// The session that its job joins, whether or not it succeeds.
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    /// Start nothing, and tell what it would come to. With --overlay it runs, without a network, and what it would change is told and
    /// discarded.
    #[arg(long)]
    dry_run: bool,
    /// Ask nothing: what the policy says to ask is refused, unless it was granted for always.
    #[arg(long)]
    no_prompt: bool,
    /// Run it without a record in the audit log.
    #[arg(long)]
    no_audit: bool,
    /// Where it runs: in the sandbox of this machine, or in a plane that is a program of its own, by its path; never without isolation unless
    /// `host`, or a plane that has none to offer, is given here.
    #[arg(long, value_name = compose::PLANES, default_value = compose::OWN_PLANE)]
    plane: PlaneName,
}

fn help() -> String {
    "Exit codes:\n  0    it did what it was asked\n  1    it did not; `error` in the result says why\n  \
     125  cofferdam refused or failed; nothing was run\n\nExamples:\n  \
     cofferdam action run file_read --arguments '{\"path\": \"Cargo.toml\", \"length\": 200}'\n  \
     cofferdam action run shell --overlay --dry-run --arguments '{\"line\": \"make clean\"}'"
        .to_owned()
}

impl Run {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let arguments = self.read_arguments()?;
        let keeper = self.session.as_deref().map(JobFile::of_session).transpose()?;
        let mut actions = actions()?.job_prefix(job_prefix());
        if let Some(keeper) = keeper {
            actions = actions.keeper(Arc::new(keeper));
        }
        let at_rest = self.dry_run && !self.overlay;
        let recording = if at_rest || self.no_audit { Recording::Off } else { Recording::Usual };
        // Its programs have pipes for streams, and no descriptor of the terminal that is asked on.
        let questions = if at_rest || self.no_prompt { None } else { Questions::possible(true) };
        let parts = KernelParts::new(self.plane.clone()).recording(recording).asking(questions);
        let kernel = if at_rest { parts.at_rest() } else { parts }.kernel()?;
        let places = Places::find(self.workspace.as_deref())?;
        let vm = compose::vm(&kernel, self.policy()?, &places, Explain::Known)?;
        if self.plane == PlaneName::Host {
            human::warn("nothing is isolated on the host plane: the action can do whatever you can");
        }
        if at_rest {
            let told = actions.dry_run(&vm, &self.name, &arguments)?;
            let line = json!({ "version": 1, "dry_run": true, "action": told });
            super::print(&format!("{}\n", escape::json(&line.to_string())))?;
            return Ok(if told.would_run { 0 } else { exit_code::REFUSED });
        }
        if self.dry_run {
            vm.keeps_everything_apart()?;
        }
        let mut options = ActionOptions::new().timeout(Duration::from_millis(self.timeout_ms));
        if let Some(session) = &self.session {
            options = options.session(session);
        }
        let runtime = compose::runtime().map_err(|error| io("the action cannot be waited for", &error))?;
        let result = runtime.block_on(actions.run(&vm, &self.name, &arguments, &options))?;
        runtime.shutdown_background();
        // Somebody may still wait at the terminal for an answer that nobody wants any more.
        compose::close(&kernel);
        let line =
            if self.dry_run { self.discarded(result.clone())? } else { json!({ "version": 1, "result": result }) };
        super::print(&format!("{}\n", escape::json(&line.to_string())))?;
        Ok(u8::from(!result.success))
    }

    /// Looks at what was kept apart, discards it, and tells both.
    fn discarded(&self, mut result: ActionResult) -> Result<Value, Failure> {
        let mut changes = Vec::new();
        for step in &mut result.steps {
            let Some(summary) = step.changes.take() else { continue };
            changes.extend(kept_changes::changes(&kept_changes::look_and_discard(&summary.id)?));
        }
        Ok(json!({ "version": 1, "dry_run": true, "result": result, "changes": changes }))
    }

    /// The policy with what the options say, and with this program as the worker.
    fn policy(&self) -> Result<Policy, Failure> {
        let mut lines = json!({
            "version": 1,
            "filesystem": { "read": entries(&self.read)?, "write": entries(&self.write)? },
        });
        if self.overlay {
            lines["filesystem"]["changes"] = Value::from("overlay");
        }
        if self.overlay && self.dry_run {
            // The other end of a network would not forget.
            lines["network"] = json!({ "mode": "deny" });
        }
        let policy = policy_file::find(&self.policy)?.with_lines(&lines.to_string(), "command line")?;
        Ok(worker()?.admitted(policy)?)
    }

    fn read_arguments(&self) -> Result<Value, Failure> {
        let mut text = self.arguments.clone();
        if text == "-" {
            text.clear();
            // What is longer is refused by the kernel, which needs no more than to see that it is.
            let most = LONGEST_ARGUMENTS as u64 * 2;
            let read = std::io::stdin().lock().take(most).read_to_string(&mut text);
            read.map_err(|error| io("the arguments cannot be read from standard input", &error))?;
        }
        serde_json::from_str(&text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let sentence =
                format!("the arguments are no JSON, or more than 2 MiB of it (line {line}, column {column})");
            Failure::new(ErrorCode::RequestInvalid, sentence).hint(format!("cofferdam action show {}", self.name))
        })
    }
}

/// Something that no other process of this machine begins its jobs' ids with.
fn job_prefix() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("job-{:x}-{:x}", now.as_millis(), std::process::id())
}
