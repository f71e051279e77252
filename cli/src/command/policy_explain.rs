//! `cofferdam policy explain`: what a policy says to one access, and why.

use crate::compose::{Places, absolute, host_environment};
use crate::failure::Failure;
use crate::{escape, policy_file};
use clap::{Args, ValueEnum};
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::verdict::Verdict;
use cofferdam_kernel::policy::Access;
use std::path::{Path, PathBuf};

/// Tells whether a policy allows something, by which rule, and what to write to allow it.
#[derive(Debug, Args)]
#[command(after_help = "Exit code 0 when it is allowed, 1 when it is refused.\n\nExamples:\n  \
    cofferdam policy explain read ~/.ssh/id_ed25519\n  \
    cofferdam policy explain --policy ci.toml connect api.example.com:443")]
pub(crate) struct Explain {
    /// The policy: a built-in's name or a file.
    #[arg(long, value_name = "FILE|NAME", default_value = "dev")]
    policy: String,
    /// The directory that is worked in; the current one unless given.
    #[arg(long, value_name = "DIR")]
    workspace: Option<PathBuf>,
    /// What is asked for.
    access: Kind,
    /// A path, a program, HOST:PORT, or a variable's name.
    target: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Read,
    Write,
    Execute,
    Connect,
    Env,
}

impl Explain {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let places = Places::find(Some(self.workspace.as_deref().unwrap_or(Path::new("."))))?;
        let access = access(self.access, &self.target)?;
        let policy = policy_file::find(&self.policy)?.compile(&places.placeholders(), &host_environment())?;
        let decision = policy.decide(&access)?;
        super::print(&format!("{}\n", escape::sentences(&decision.explain(&access))))?;
        Ok(u8::from(decision.verdict != Verdict::Allow))
    }
}

fn access(kind: Kind, target: &str) -> Result<Access, Failure> {
    Ok(match kind {
        Kind::Read => Access::Read(absolute(Path::new(target))?),
        Kind::Write => Access::Write(absolute(Path::new(target))?),
        Kind::Execute => Access::Execute(absolute(&program(target))?),
        Kind::Env => Access::Environment(target.to_owned()),
        Kind::Connect => {
            let datagrams = target.strip_prefix("udp://");
            let target = datagrams.unwrap_or(target);
            let port = target.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
            let (host, port) = port.ok_or_else(|| {
                Failure::new(ErrorCode::RequestInvalid, format!("`{target}` names no port; write HOST:PORT"))
            })?;
            let host = host.trim_matches(['[', ']']).to_owned();
            if datagrams.is_some() { Access::Send(host, port) } else { Access::Connect(host, port) }
        }
    })
}

/// Where a bare name leads by `PATH`.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let bare = !name.contains('/');
    let found = std::env::split_paths(&path).map(|place| place.join(name)).find(|file| bare && file.is_file());
    found.unwrap_or_else(|| PathBuf::from(name))
}
