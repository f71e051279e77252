//! Puts together what a run needs: policy, places, environment, plane.

use crate::failure::{Failure, io};
use crate::session;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::Explain;
use cofferdam_kernel::policy::{Placeholders, Policy};
use cofferdam_kernel::{Command, Kernel, Vm, VmSpec};
use cofferdam_plane_kit::host::HostGrants;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The name of this machine's own sandbox.
pub(crate) const OWN_PLANE: &str = if cfg!(target_os = "linux") { "linux" } else { "macos" };
/// What an option that names a plane takes.
pub(crate) const PLANES: &str = if cfg!(target_os = "linux") { "linux|host|PATH" } else { "macos|host|PATH" };

/// Where programs run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PlaneName {
    /// This machine's own sandbox: of namespaces, Landlock and seccomp on Linux, of a Seatbelt profile on macOS.
    Own,
    /// No isolation at all: a plain process, whatever the policy requires; only its end is sure.
    Host,
    /// A program that speaks the wire protocol.
    Process(PathBuf),
}

impl std::str::FromStr for PlaneName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            OWN_PLANE => Ok(Self::Own),
            "host" => Ok(Self::Host),
            path if path.contains('/') => Ok(Self::Process(path.into())),
            _ => Err(format!(
                "name `{OWN_PLANE}`, `host`, or a plane's program by a path with a slash in it, such as ./plane.py"
            )),
        }
    }
}

/// The directories and the user that a policy's placeholders stand for.
#[derive(Debug)]
pub(crate) struct Places {
    workspace: Option<String>,
    home: Option<String>,
    user: Option<String>,
}

impl Places {
    /// The workspace is `given`, or the current directory unless that is the root or the home directory.
    pub(crate) fn find(given: Option<&Path>) -> Result<Self, Failure> {
        let own = Self::without_workspace();
        let path = given.unwrap_or(Path::new("."));
        let workspace = path
            .canonicalize()
            .map_err(|error| io(&format!("the workspace `{}` cannot be used", path.display()), &error))?;
        if given.is_none() {
            refuse_wide(&workspace, own.home.as_deref())?;
        }
        Ok(Self { workspace: Some(utf8(workspace)?), ..own })
    }

    /// The user's places alone.
    pub(crate) fn without_workspace() -> Self {
        let home = std::env::var("HOME").ok().filter(|home| home.starts_with('/'));
        let user = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
        Self { workspace: None, home, user }
    }

    /// As the policy takes them.
    pub(crate) fn placeholders(&self) -> Placeholders {
        let mut places = Placeholders::default();
        places.workspace.clone_from(&self.workspace);
        places.home.clone_from(&self.home);
        places.user.clone_from(&self.user);
        places
    }
}

/// The whole of a home directory or of the machine is nothing to hand to a program by accident.
fn refuse_wide(workspace: &Path, home: Option<&str>) -> Result<(), Failure> {
    let is_home = home.and_then(|home| Path::new(home).canonicalize().ok()).is_some_and(|home| home == workspace);
    if workspace != Path::new("/") && !is_home {
        return Ok(());
    }
    let what = if is_home { "your home directory" } else { "the root directory" };
    let sentence = format!("the current directory is {what}, and the run could change everything in it");
    Err(Failure::new(ErrorCode::RequestInvalid, sentence).hint(format!(
        "go to a project first, or name the workspace: cofferdam run --workspace {} -- PROGRAM",
        workspace.display()
    )))
}

/// A path as text; the policy knows only such paths.
pub(crate) fn utf8(path: PathBuf) -> Result<String, Failure> {
    path.into_os_string().into_string().map_err(|path| {
        Failure::new(ErrorCode::PathInvalid, format!("the path `{}` is not UTF-8; rename it", path.display()))
    })
}

/// The absolute path that `path` names here.
pub(crate) fn absolute(path: &Path) -> Result<String, Failure> {
    match path.canonicalize().or_else(|_| std::path::absolute(path)) {
        Ok(path) => utf8(path),
        Err(error) => Err(io(&format!("the path `{}` cannot be used", path.display()), &error)),
    }
}

/// This process's environment, as far as it is text.
pub(crate) fn host_environment() -> BTreeMap<String, String> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

/// Brings the kernel's log to its end: this process is about to end, whoever holds the log still.
pub(crate) fn close(kernel: &Kernel) {
    if let Some(recorder) = kernel.recorder() {
        recorder.close();
    }
}

/// What waits for a run, on this thread.
pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    // For its signals tokio makes such a pair once, and panics where there are no descriptors left for it; the rest is for what it
    // opens before.
    drop((0..4).map(|_| std::os::unix::net::UnixStream::pair()).collect::<std::io::Result<Vec<_>>>()?);
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// A VM of `kernel` under `policy`.
pub(crate) fn vm(kernel: &Kernel, policy: Policy, places: &Places, explain: Explain) -> Result<Vm, Failure> {
    Ok(kernel.create_vm(spec(without_own_places(policy)?, places, explain))?)
}

/// What a VM under `policy` is to be.
pub(crate) fn spec(policy: Policy, places: &Places, explain: Explain) -> VmSpec {
    let mut spec = VmSpec::new(policy).host_environment(host_environment()).explain(explain);
    if let Some(workspace) = &places.workspace {
        spec = spec.workspace(workspace);
    }
    if let Some(home) = &places.home {
        spec = spec.home(home);
    }
    if let Some(user) = &places.user {
        spec = spec.user(user);
    }
    spec
}

/// The policy without the file of grants and the places of sessions, wherever the environment has put them: who could write there could
/// grant, and who could look would learn what else this user runs.
pub(crate) fn without_own_places(policy: Policy) -> Result<Policy, Failure> {
    let grants = std::env::var_os("XDG_STATE_HOME").and(HostGrants::of_user().ok());
    let grants = grants.map(|store| store.directory().to_owned());
    let mut places = Vec::new();
    for place in grants.into_iter().chain(session::Places::elsewhere()) {
        // By the name that the environment gives it, and by the one that a guest would see.
        let seen = place.canonicalize().ok().filter(|seen| *seen != place);
        for place in [Some(place), seen].into_iter().flatten() {
            places.push(format!("literal:{}", utf8(place)?));
        }
    }
    if places.is_empty() {
        return Ok(policy);
    }
    places.dedup();
    let lines = serde_json::json!({ "version": 1, "filesystem": { "deny": places } });
    Ok(policy.with_lines(&lines.to_string(), "built-in secrets")?)
}

/// A command in `vm`. `environment`: `NAME=VALUE`, or the name alone for the value here; `directory`: where it starts.
pub(crate) fn command(
    vm: &Vm,
    program: &str,
    arguments: &[String],
    environment: &[String],
    directory: Option<&Path>,
) -> Result<Command, Failure> {
    let program = if program.contains('/') { absolute_unresolved(program)? } else { program.to_owned() };
    let mut command = vm.command(program).args(arguments.iter().cloned());
    for variable in environment {
        let (name, value) = match variable.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => (variable.as_str(), host_value(variable)?),
        };
        command = command.env(name, value);
    }
    match directory {
        Some(directory) => Ok(command.current_dir(absolute(directory)?)),
        None => Ok(command),
    }
}

/// A program's path as it was typed: links are followed by the plane, which decides by where they lead.
fn absolute_unresolved(program: &str) -> Result<String, Failure> {
    let path =
        std::path::absolute(program).map_err(|error| io(&format!("the path `{program}` cannot be used"), &error))?;
    utf8(path)
}

/// The value that a variable has here.
fn host_value(name: &str) -> Result<String, Failure> {
    std::env::var(name).map_err(|_| {
        Failure::new(ErrorCode::RequestInvalid, format!("the variable `{name}` is not set here, or is no text"))
            .hint(format!("give it a value: --env {name}=VALUE"))
    })
}
