//! Programs as functions on each plane, through the library.

use crate::scratch::Scratch;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::exec::RunProgram;
use cofferdam_exec_plane::{HostPlane, danger};
use cofferdam_kernel::policy::{NoFiles, Policy};
use cofferdam_kernel::{Kernel, Vm, VmSpec};
use cofferdam_sandbox_linux::{LinuxPlane, PoolOptions};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A plane that runs programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaneKind {
    /// The Linux sandbox.
    Linux,
    /// The same, by launchers that wait.
    Pooled,
    /// Plain processes.
    Host,
    /// The same, under keepers that wait.
    Prepared,
}

/// Both.
pub const PLANES: [PlaneKind; 2] = [PlaneKind::Linux, PlaneKind::Host];

/// Both, each in both ways to start.
pub const WAYS: [PlaneKind; 4] = [PlaneKind::Linux, PlaneKind::Pooled, PlaneKind::Host, PlaneKind::Prepared];

/// A folder of programs that may be run, and may not be changed, beside things that may not be run.
#[derive(Debug)]
pub struct Programs {
    scratch: Scratch,
    files: String,
    allow: String,
    lines: String,
}

impl Default for Programs {
    fn default() -> Self {
        Self::with("")
    }
}

impl Programs {
    /// With the policy `strict` and what else programs in `bin` need; `lines` are further sections of the policy.
    ///
    /// # Panics
    /// When the folder cannot be made.
    #[expect(clippy::expect_used, reason = "a test without its folder must fail loudly")]
    pub fn with(lines: &str) -> Self {
        let scratch = Scratch::new();
        std::fs::create_dir(scratch.join("bin")).expect("a folder for programs");
        let (files, allow) = ("read = [\"{workspace}\"]".to_owned(), "{workspace}/bin".to_owned());
        Self { scratch, files, allow, lines: lines.to_owned() }
    }

    /// With `files` for lines about files, and one further program that may run.
    pub fn also(files: &str, program: &str) -> Self {
        Self { files: files.to_owned(), allow: program.to_owned(), ..Self::with("") }
    }

    /// Where it is, as the kernel sees it.
    ///
    /// # Panics
    /// When it is gone.
    #[expect(clippy::expect_used, reason = "a test without its folder must fail loudly")]
    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().canonicalize().expect("the test's folder").join(name)
    }

    /// The same as text.
    pub fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    /// Writes a program.
    ///
    /// # Panics
    /// When it cannot be written.
    #[expect(clippy::expect_used, reason = "a test without its program must fail loudly")]
    pub fn program(&self, name: &str, text: &str) -> String {
        let path = self.scratch.write(name, text);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a program of the test's own");
        self.text(name)
    }

    /// The policy's file.
    pub fn policy(&self) -> String {
        let Self { files, allow, lines, .. } = self;
        format!("version = 1\nextends = \"strict\"\n[filesystem]\n{files}\n[commands]\nallow = [\"{allow}\"]\n{lines}")
    }

    /// A VM under that policy.
    ///
    /// # Panics
    /// When this machine has no such plane.
    #[expect(clippy::expect_used, reason = "a test without its plane must fail loudly")]
    pub fn vm(&self, plane: PlaneKind) -> Vm {
        let builder = match plane {
            PlaneKind::Linux => Kernel::builder(LinuxPlane::new().expect("the Linux plane")),
            PlaneKind::Pooled => {
                let plane = LinuxPlane::new().and_then(|plane| plane.pooled(PoolOptions::new(2)));
                Kernel::builder(plane.expect("a Linux plane with a pool"))
            }
            PlaneKind::Host | PlaneKind::Prepared => {
                let access = danger::i_know_programs_run_unisolated().even_under_policies_that_require_isolation();
                let host = HostPlane::new(access).expect("the host plane");
                Kernel::builder(if plane == PlaneKind::Prepared { host.prepared() } else { host })
            }
        };
        let policy = Policy::parse(&self.policy(), "test", &NoFiles).expect("the test's policy");
        let kernel = builder.build().expect("a kernel");
        kernel.create_vm(VmSpec::new(policy).workspace(self.text("").trim_end_matches('/'))).expect("a VM")
    }

    /// Runs one request on one plane.
    ///
    /// # Errors
    /// As [`Vm::exec`].
    pub fn exec(&self, plane: PlaneKind, request: RunProgram) -> Result<Value, BridgeError> {
        block_on(self.vm(plane).exec(request))
    }
}

/// Waits for what a test does.
///
/// # Panics
/// When there is no runtime.
#[expect(clippy::expect_used, reason = "a test that cannot wait must fail loudly")]
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// A shell line as a request.
pub fn shell(line: &str) -> RunProgram {
    RunProgram::new("/bin/sh").args(["-c", line])
}
