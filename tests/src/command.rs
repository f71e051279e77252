//! The `cofferdam` command under test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

/// Where the command was built: beside the tests, or where `COFFERDAM_BIN` says (tests that run as another user).
///
/// # Panics
/// When there is none: tests without the command would prove nothing.
#[expect(clippy::panic, reason = "a test without the command under test must fail loudly")]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("COFFERDAM_BIN") {
        return path.into();
    }
    let own = std::env::current_exe().unwrap_or_default();
    let built = own.ancestors().nth(2).map(|folder| folder.join("cofferdam")).filter(|path| path.exists());
    built.unwrap_or_else(|| {
        panic!("the cofferdam command is not built; run `cargo xtask test`, or `cargo build -p cofferdam-cli` first")
    })
}

/// Where the runs of this test process are recorded, unless a test says otherwise: not in the user's own log. It is removed when the
/// process ends, however it does.
///
/// # Panics
/// When it cannot be made.
#[expect(clippy::expect_used, reason = "tests that would fill the user's log must fail loudly")]
pub fn audit_place() -> &'static Path {
    static PLACE: LazyLock<PathBuf> = LazyLock::new(|| {
        let place = std::env::temp_dir().join(format!("cofferdam-test-audit-{}", std::process::id()));
        let mut command = Command::new("sh");
        // Its input ends with this process.
        command.args(["-c", "cat; exec rm -rf -- \"$1\"", "sh"]).arg(&place);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        std::mem::forget(child.expect("a process that clears up").stdin);
        place
    });
    &PLACE
}

/// The command under test, which records in this test process's own log.
pub fn cofferdam() -> Command {
    let mut command = Command::new(binary());
    command.env("COFFERDAM_AUDIT", audit_place());
    command
}

/// With `COFFERDAM_EXPLAIN` every run is an explained one, as far as it is not anyway: explaining changes nothing that a test looks at.
fn explained(options: &[&str]) -> Option<&'static str> {
    let already = options.contains(&"--explain");
    std::env::var_os("COFFERDAM_EXPLAIN").filter(|_| !already).map(|_| "--explain")
}

/// `cofferdam run` with `options`, in `workspace`, of `program` and its arguments.
pub fn run(workspace: &Path, options: &[&str], program: &[&str]) -> Command {
    let mut command = cofferdam();
    command.arg("run").arg("--workspace").arg(workspace).args(explained(options)).args(options);
    command.arg("--").args(program).current_dir(workspace);
    command
}

/// Runs a shell line in the sandbox under `dev` and answers what came of it.
///
/// # Panics
/// When the command cannot be started.
#[expect(clippy::expect_used, reason = "a test without the command under test must fail loudly")]
pub fn shell(workspace: &Path, line: &str) -> Output {
    run(workspace, &[], &["sh", "-c", line]).output().expect("cofferdam starts")
}

/// Standard output as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// As [`cofferdam`], where no namespace can be made: in a user namespace of the test's own that allows no further ones.
pub fn cofferdam_without_namespaces() -> Command {
    const REFUSE: &str = "echo 0 > /proc/sys/user/max_user_namespaces || exit 77; \
                          exec setpriv --ambient-caps=-all --inh-caps=-all -- \"$@\"";
    let mut command = Command::new("unshare");
    command.env("COFFERDAM_AUDIT", audit_place());
    command.args(["--map-current-user", "--keep-caps", "sh", "-c", REFUSE, "sh"]);
    command.arg(binary());
    command
}

/// As [`run`], where no namespace can be made.
pub fn run_without_namespaces(workspace: &Path, options: &[&str], program: &[&str]) -> Command {
    let mut command = cofferdam_without_namespaces();
    command.arg("run").arg("--workspace").arg(workspace).args(explained(options)).args(options);
    command.arg("--").args(program).current_dir(workspace);
    command
}
