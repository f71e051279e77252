//! `cofferdam doctor` on macOS: whether profiles can be applied here, and whether one holds.

use crate::compose;
use crate::escape::{self, sentences};
use crate::failure::{Failure, io};
use crate::plane_choice;
use clap::Args;
use cofferdam_bridge::enforcement::Tier;
use cofferdam_kernel::policy::Policy;
use cofferdam_kernel::{Kernel, VmSpec};
use cofferdam_sandbox_macos::Facts;
use serde_json::json;

/// Tells whether this machine can enforce policies, what is missing, and what mends it.
///
/// What profiles need is looked for, and at last `true` is run under one, which must be refused a file.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes:\n  0  programs run under profiles\n  1  they do not\n\nExample:\n  cofferdam doctor --json"
)]
pub(crate) struct Doctor {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What is run: it succeeds only where what the policy does not name cannot be read.
const TRIAL: [&str; 3] = ["/bin/sh", "-c", "! cat /etc/master.passwd /etc/sudoers /etc/hosts 2>/dev/null"];
const POLICY: &str = "version = 1\nextends = \"strict\"\n[isolation]\nrequire = \"landlock\"\n[commands]\nallow = [\"/bin\", \"/usr/bin\"]\n";

impl Doctor {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let facts = Facts::here();
        let obstacle = facts.obstacle();
        let trial = if obstacle.is_none() { Some(run()?) } else { None };
        let works = trial == Some(true);
        let tier = if works { Tier::Landlock } else { Tier::None };
        let text = if self.json {
            let (why, fix) = obstacle.unzip();
            let line = json!({
                "version": 1, "tier": tier, "has_sandbox_exec": facts.has_sandbox_exec, "is_sandboxed": facts.is_sandboxed,
                "missing": why, "fix": fix, "trial_holds": trial,
            });
            format!("{}\n", escape::json(&line.to_string()))
        } else {
            told(obstacle, trial)
        };
        super::print(&text)?;
        Ok(u8::from(!works))
    }
}

fn told(obstacle: Option<(&str, &str)>, trial: Option<bool>) -> String {
    match (obstacle, trial) {
        (Some((why, fix)), _) => format!("Nothing can be isolated here: {}.\n  to mend it: {}\n", sentences(why), sentences(fix)),
        (None, Some(true)) => "Programs run under Seatbelt profiles: the tier is `landlock`, for policies that say isolation.require = \"landlock\".\n".to_owned(),
        (None, _) => "A profile was applied, and a file that it does not name could be read: do not run here, and please report it.\n".to_owned(),
    }
}

fn run() -> Result<bool, Failure> {
    let runtime = compose::runtime().map_err(|error| io("the trial cannot be waited for", &error))?;
    let kernel = Kernel::builder(plane_choice::own_plane()?).build()?;
    let vm = kernel.create_vm(VmSpec::new(Policy::strict().with_lines(POLICY, "doctor")?))?;
    let [program, arguments @ ..] = TRIAL;
    let output = runtime.block_on(vm.command(program).args(arguments.map(str::to_owned)).output())?;
    Ok(output.report.cause.success())
}
