//! Sessions of an embedding host, on each plane that runs programs.

use crate::scratch::Scratch;
use cofferdam_bridge::error::BridgeError;
use cofferdam_exec_plane::{HostPlane, danger};
use cofferdam_kernel::policy::Policy;
use cofferdam_kernel::session::{Session, SessionSpec};
use cofferdam_kernel::{Kernel, KernelError, VmSpec};
use cofferdam_sandbox_linux::LinuxPlane;
use std::path::Path;

/// A plane that runs programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// In a sandbox.
    Linux,
    /// Plainly.
    Host,
}

/// Both: what a session promises holds on each.
pub const PLANES: [Plane; 2] = [Plane::Linux, Plane::Host];

impl Plane {
    /// A kernel on this plane.
    ///
    /// # Errors
    /// What the plane met.
    pub fn kernel(self) -> Result<Kernel, KernelError> {
        match self {
            Self::Linux => Kernel::builder(LinuxPlane::new()?).build(),
            Self::Host => {
                let access = danger::i_know_programs_run_unisolated().even_under_policies_that_require_isolation();
                Kernel::builder(HostPlane::new(access)?).build()
            }
        }
    }
}

/// A session under `dev`, and its workspace. The session goes first when it is dropped.
#[derive(Debug)]
pub struct Opened {
    /// The session.
    pub session: Session,
    /// Its workspace.
    pub workspace: Scratch,
}

/// A VM under `dev` in `workspace`, with the user's own toolchains.
///
/// # Errors
/// What the kernel met.
pub fn under_dev(workspace: &Path) -> Result<VmSpec, KernelError> {
    let home = std::env::var("HOME").unwrap_or_else(|_| "/nonexistent".to_owned());
    Ok(VmSpec::new(Policy::builtin("dev")?).workspace(workspace.to_string_lossy()).home(home))
}

/// Opens a session under `dev`, with `variables` as the host's environment.
///
/// # Errors
/// What the kernel met.
pub fn open_with(plane: Plane, spec: SessionSpec, variables: &[(&str, &str)]) -> Result<Opened, KernelError> {
    let workspace = Scratch::new();
    let place = workspace.path().canonicalize().map_err(|error| unusable(&error))?;
    let path = std::env::var("PATH").unwrap_or_default();
    let host = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let vm = under_dev(&place)?.host_environment(host.chain([("PATH".to_owned(), path)]));
    Ok(Opened { session: plane.kernel()?.open_session(vm, spec)?, workspace })
}

/// Opens a session under `dev`.
///
/// # Panics
/// When it cannot be opened.
#[track_caller]
#[expect(clippy::panic, reason = "a test without its session must fail loudly")]
pub fn open(plane: Plane, spec: SessionSpec) -> Opened {
    open_with(plane, spec, &[]).unwrap_or_else(|error| panic!("{plane:?}: {error}"))
}

/// Runs what a test does in a runtime of its own.
///
/// # Panics
/// When there is no runtime.
#[expect(clippy::expect_used, reason = "a test without a runtime must fail loudly")]
pub fn within_runtime<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(work)
}

fn unusable(error: &std::io::Error) -> BridgeError {
    BridgeError::new(cofferdam_bridge::error_code::ErrorCode::IoFailed, error.to_string())
}
