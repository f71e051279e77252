//! From an execution profile to the text of a Seatbelt profile.
//!
//! The language is described by no document of Apple's. What is used here is what public sources agree on; each is named where it is
//! used, and [`crate::model`] holds it as rules that can be tested. Two things on which sources are silent or differ do not matter to what
//! is written: whether a later rule about a wider operation beats an earlier one about a narrower (wide ones come first here), and
//! whether expressions see bytes or characters.

mod beyond;
mod expression;
mod files;
mod names;
mod network;
mod planted;
mod spelling;
mod system;
mod text;

pub use beyond::beyond;
pub use files::FileRules;
pub use names::{EveryMac, HostNames, Names};
pub use spelling::Spelling;
pub use text::string;

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::profile::{CommandProfile, ExecutionProfile};
use expression::{Reach, Sense, Writing};
use names::canonical;
use text::{Filter, rule};

/// Where `{tmp}` is for a policy.
const TEMPORARY: &str = "/tmp";

/// What a profile depends on beside the policy.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Setting<'a> {
    /// Where paths lead.
    pub names: &'a dyn Names,
    /// Which names are the same.
    pub spelling: Spelling,
    /// The run's private temporary folder, by its real path.
    pub private_folder: Option<&'a str>,
    /// The device of the run's own terminal, if it has one.
    pub terminal: Option<&'a str>,
    /// The port of the local name proxy, where one answers for the network.
    pub proxy_port: Option<u16>,
}

impl<'a> Setting<'a> {
    /// No private folder, no terminal, no proxy; names as a volume of macOS takes them.
    pub fn new(names: &'a dyn Names) -> Self {
        Self { names, spelling: Spelling::default(), private_folder: None, terminal: None, proxy_port: None }
    }
}

impl std::fmt::Debug for Setting<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setting").field("spelling", &self.spelling).finish_non_exhaustive()
    }
}

/// A policy as a Seatbelt profile.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SeatbeltProfile {
    /// What `sandbox-exec -p` is given.
    pub text: String,
    /// The file rules as they hold: with real paths, and with what is held beyond the policy.
    pub files: FileRules,
}

/// Writes the Seatbelt profile for `profile`.
///
/// # Errors
/// `unsupported_backend_feature` for what [`beyond`] tells and for a rule that this language cannot say, `policy_invalid` for one that
/// leads through a link that a guest may have planted, `path_invalid` for a pattern that is none.
pub fn compile(profile: &ExecutionProfile, setting: &Setting<'_>) -> Result<SeatbeltProfile, BridgeError> {
    if let Some(missing) = beyond(profile, setting).into_iter().next() {
        let fix = missing.fix.map(|fix| format!("; {fix}")).unwrap_or_default();
        return Err(BridgeError::new(ErrorCode::UnsupportedBackendFeature, format!("{}{fix}", missing.message)));
    }
    let files = FileRules::new(profile, setting)?;
    let mut text = String::from("(version 1)\n(deny default)\n\n");
    system::write(&mut text);
    text.push_str("\n; Files, least telling rule first: of the rules that match, the last decides.\n");
    files.write(&mut text, setting)?;
    text.push_str("\n; Devices.\n");
    system::write_devices(&mut text, setting);
    text.push_str("\n; Programs, shortest prefix first.\n");
    commands(&mut text, &profile.commands, setting)?;
    text.push_str("\n; Network.\n");
    network::write(&mut text, &profile.network, setting);
    Ok(SeatbeltProfile { text, files })
}

/// Which programs may be executed: the longest prefix wins, at a tie deny does, so it comes last.
fn commands(out: &mut String, commands: &CommandProfile, setting: &Setting<'_>) -> Result<(), BridgeError> {
    let mut rules: Vec<(usize, bool, String)> = Vec::new();
    for (list, denies) in [(&commands.allow, false), (&commands.deny, true)] {
        for rule in list {
            let trimmed = rule.prefix.trim_end_matches('/');
            let private = setting.private_folder.and_then(|folder| in_folder(trimmed, folder));
            // What is in `/tmp` for a policy is in the private folder here; a denied program is refused in either.
            let own = canonical(setting.names, if trimmed.is_empty() { "/" } else { trimmed });
            let both = if denies || private.is_none() { Some(own) } else { None };
            for path in both.into_iter().chain(private) {
                rules.push((path.trim_end_matches('/').len(), denies, path));
            }
        }
    }
    rules.sort();
    rules.dedup();
    for (_, denies, path) in rules {
        let sense = if denies { Sense::Takes } else { Sense::Gives };
        let parts: Vec<_> = path.split('/').filter(|name| !name.is_empty()).collect();
        let parts: Vec<_> =
            parts.into_iter().map(|name| cofferdam_bridge::path_pattern::Part::Literal(name.to_owned())).collect();
        let fixed = names::existing(setting.names, &parts);
        let writing = Writing { sense, spelling: setting.spelling, fixed, reach: Reach::Beneath };
        let filter = writing.filter("", &parts).map_err(|unsayable| cannot_say(&unsayable.0, "commands"))?;
        rule(out, if denies { "deny" } else { "allow" }, "process-exec*", &[filter]);
    }
    Ok(())
}

/// Where a path in the policy's `/tmp` is in the private folder.
fn in_folder(path: &str, folder: &str) -> Option<String> {
    let rest = path.strip_prefix(TEMPORARY).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
    Some(format!("{folder}{rest}"))
}

fn cannot_say(name: &str, rule: &str) -> BridgeError {
    BridgeError::new(
        ErrorCode::UnsupportedBackendFeature,
        format!(
            "`{rule}` cannot be held on this plane: `{name}` is not there yet and holds characters beyond ASCII, which a volume of macOS lets a program write in more ways than are known here; name a directory above it, or make it before the run"
        ),
    )
    .with("rule", rule)
}

/// A filter for the literal path, for rules of the plane's own.
fn literal(path: &str) -> Filter {
    Filter::Literal(path.to_owned())
}
