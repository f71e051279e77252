//! `cofferdam session open`: starts the process that owns a session. `cofferdam session host` is that process.

use crate::compose::{self, PlaneName};
use crate::failure::{Failure, io};
use crate::kernel_parts::KernelParts;
use crate::policy_file;
use crate::report::human;
use crate::session::host::{self, FirstWord, IDLE};
use crate::session::{Place, Places, SessionName};
use clap::Args;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::Explain;
use cofferdam_bridge::verdict::Verdict;
use cofferdam_kernel::policy::Access;
use cofferdam_kernel::session::{Session, SessionSpec};
use cofferdam_plane_kit::host::HostGrants;
use serde_json::json;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Longest first word of a host.
const FIRST_WORD: u64 = 1 << 20;

/// Opens a session: reads its file and starts the process that owns it, in the background.
///
/// The process ends, and everything in the session with it, when the session is closed, when nobody has asked anything of
/// it for its idle time, or when it is killed. What a host that was killed had is told by the next open.
#[derive(Debug, Args)]
pub(crate) struct Open {
    #[command(flatten)]
    host: HostArguments,
    /// Tell what came of it as one JSON object.
    #[arg(long)]
    json: bool,
}

/// What a host needs to know.
#[derive(Clone, Debug, Args)]
pub(crate) struct HostArguments {
    /// The session's name.
    name: SessionName,
    /// The file that declares its commands; session.toml in the current directory unless given.
    #[arg(long, value_name = "FILE", default_value = "session.toml")]
    file: PathBuf,
    /// The policy: a built-in's name or a file; what the session file says, or `dev`, unless given.
    #[arg(long, value_name = "FILE|NAME")]
    policy: Option<String>,
    /// The directory that is worked in; the current one unless given.
    #[arg(long, value_name = "DIR")]
    workspace: Option<PathBuf>,
    /// Where commands run: `linux`, `host`, or the program of a plane by its path. Never without isolation unless `host`, or a plane that
    /// has none to offer, is given here.
    #[arg(long, value_name = compose::PLANES, default_value = compose::OWN_PLANE)]
    plane: PlaneName,
    /// Close the session when nobody has asked anything of it for this time, such as 10m, in place of what its file says; 30m
    /// unless one of both says.
    #[arg(long, value_name = "TIME", value_parser = time)]
    idle: Option<Duration>,
}

/// A time as people write it.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let milliseconds =
        factor.and_then(|factor| number.parse::<u64>().ok()?.checked_mul(factor)).filter(|time| *time > 0);
    milliseconds.map(Duration::from_millis).ok_or_else(|| "a time is written 500ms, 30s, 2m or 1h".to_owned())
}

impl Open {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let word = self.begin()?;
        let FirstWord::Ready { pid, socket, before } = word else { return Ok(0) };
        if self.json {
            let told = json!({ "version": 1, "session": self.host.name.as_str(), "pid": pid, "socket": socket, "before": before });
            super::print(&format!("{told}\n"))?;
            return Ok(0);
        }
        before.iter().flat_map(|before| before.lines()).for_each(|line| human::note(&line));
        super::print(&format!("{} is open (process {pid})\n", self.host.name.as_str()))?;
        Ok(0)
    }

    /// Starts the host and waits for its first word.
    fn begin(&self) -> Result<FirstWord, Failure> {
        let failed = |error: std::io::Error| io("the session's host cannot be started", &error);
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args(["session", "host"]).args(std::env::args_os().skip(3).filter(|argument| argument != "--json"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(failed)?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout.take(FIRST_WORD)).read_line(&mut line).map_err(failed)?;
        }
        match serde_json::from_str(&line) {
            Ok(FirstWord::Failed(error)) => {
                // It is about to end, and is ours to reap.
                let _ = child.wait();
                Err(error.into())
            }
            Ok(word) => Ok(word),
            Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(Failure::new(ErrorCode::SessionUnreachable, "the session's host ended before it was ready"))
            }
        }
    }
}

impl HostArguments {
    /// Owns the session until it ends.
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let places = Places::of_user()?;
        let place = places.of(&self.name)?;
        let spec = self.spec();
        let declared = spec.as_ref().ok().and_then(SessionSpec::idle_limit);
        let idle = self.idle.or(declared).unwrap_or(IDLE);
        host::run(&place, idle, || self.open(spec?, &place))?;
        Ok(0)
    }

    fn spec(&self) -> Result<SessionSpec, Failure> {
        let shown = self.file.display().to_string();
        let text = std::fs::read_to_string(&self.file).map_err(|error| {
            Failure::new(ErrorCode::SessionInvalid, format!("the session file `{shown}` cannot be read: {error}"))
                .hint("name one: --file SESSION.toml; `cofferdam session schema` tells what stands in it")
        })?;
        Ok(SessionSpec::parse(&text, &shown)?)
    }

    fn open(&self, spec: SessionSpec, place: &Place) -> Result<Session, Failure> {
        let policy = match (&self.policy, spec.policy()) {
            (Some(policy), _) => policy_file::find(policy)?,
            // A policy that the file names lies where the file lies, unless it is built in.
            (None, Some(policy)) => policy_file::find(&self.beside(policy))?,
            (None, None) => policy_file::find("dev")?,
        };
        let places = compose::Places::find(self.workspace.as_deref())?;
        let kernel = KernelParts::new(self.plane.clone()).at_rest().kernel()?;
        let vm =
            compose::spec(compose::without_own_places(policy)?, &places, Explain::Known).session(self.name.as_str());
        let session = kernel.open_session(vm, spec)?;
        if self.plane != PlaneName::Host {
            out_of_reach(&session, place)?;
        }
        Ok(session)
    }

    fn beside(&self, policy: &str) -> String {
        let path = self.file.parent().unwrap_or(Path::new("")).join(policy);
        let built_in = cofferdam_kernel::policy::Policy::builtin_text(policy).is_some();
        if built_in || policy.starts_with('/') { policy.to_owned() } else { path.display().to_string() }
    }
}

/// What a host writes down tells the next which processes to end, and who could write grants could grant: no command may write there.
fn out_of_reach(session: &Session, place: &Place) -> Result<(), Failure> {
    let grants = HostGrants::of_user()?.directory().canonicalize().ok();
    for directory in place.directories().into_iter().chain(grants) {
        let path = compose::utf8(directory)?;
        let decision = session.vm().decide(&Access::Write(path.clone()))?;
        // Without a rule it is the private temporary folder, which does not hold the host's directories.
        if decision.verdict != Verdict::Deny && decision.rule.is_some() {
            let sentence =
                format!("the commands of this session could write to `{path}`, where sessions are kept, or grants");
            return Err(Failure::new(ErrorCode::SessionInvalid, sentence).hint(
                "deny that in the policy, or set XDG_STATE_HOME and XDG_RUNTIME_DIR to places outside of the workspace",
            ));
        }
    }
    Ok(())
}
