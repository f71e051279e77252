//! What is started for a run: `sandbox-exec` with the profile, and behind it the program. Pure, so that it is tested anywhere.

use crate::profile::{Names, Setting, compile};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::profile::{ExecutionProfile, Temporary};
use std::collections::BTreeMap;
use std::path::Path;

/// What applies a profile to itself and then becomes the program (sandbox-exec(1)).
pub(crate) const SANDBOX_EXEC: &str = "/usr/bin/sandbox-exec";

/// Longest profile, in bytes: arguments and environment together are at most a mebibyte (`kern.argmax`, getconf(1) `ARG_MAX`).
const MOST_TEXT: usize = 512 << 10;

/// Every name that programs look for temporary folders by.
const TEMPORARY_NAMES: [&str; 3] = ["TMPDIR", "TEMP", "TMP"];

/// What one start depends on beside its policy.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) names: &'a dyn Names,
    /// The run's private folder, by its real path.
    pub(crate) private_folder: Option<&'a str>,
    /// The device of its terminal.
    pub(crate) terminal: Option<&'a str>,
    /// Where its name proxy listens.
    pub(crate) proxy_port: Option<u16>,
}

impl<'a> Place<'a> {
    /// No folder, no terminal, no proxy.
    pub(crate) fn new(names: &'a dyn Names) -> Self {
        Self { names, private_folder: None, terminal: None, proxy_port: None }
    }

    pub(crate) fn setting(&self) -> Setting<'a> {
        let mut setting = Setting::new(self.names);
        setting.private_folder = self.private_folder;
        setting.terminal = self.terminal;
        setting.proxy_port = self.proxy_port;
        setting
    }
}

/// The arguments of `sandbox-exec`, its own name first.
///
/// # Errors
/// As [`compile`]; `unsupported_backend_feature` for a profile that is too long to be handed over.
pub(crate) fn arguments(
    profile: &ExecutionProfile,
    place: &Place<'_>,
    program: &Path,
    arguments: Vec<String>,
) -> Result<Vec<String>, BridgeError> {
    let text = compile(profile, &place.setting())?.text;
    if text.len() > MOST_TEXT {
        let message = "the policy makes a Seatbelt profile that is too long to be handed over; name fewer paths, or directories above them";
        return Err(BridgeError::new(ErrorCode::UnsupportedBackendFeature, message).with("bytes", text.len() as u64));
    }
    // An absolute path, so that neither an option nor a search is made of it.
    let Some(program) = program.to_str().filter(|program| program.starts_with('/')) else {
        let message = "the program's path is not UTF-8, or not absolute; name it otherwise";
        return Err(BridgeError::new(ErrorCode::PathInvalid, message));
    };
    let head = ["sandbox-exec".to_owned(), "-p".to_owned(), text, program.to_owned()];
    Ok(head.into_iter().chain(arguments).collect())
}

/// The environment of the run: what was asked for, and where its temporary folder is.
pub(crate) fn environment(
    profile: &ExecutionProfile,
    mut asked: BTreeMap<String, String>,
    private_folder: Option<&str>,
) -> BTreeMap<String, String> {
    if let (Temporary::Private, Some(folder)) = (profile.filesystem.temporary, private_folder) {
        asked.extend(TEMPORARY_NAMES.map(|name| (name.to_owned(), folder.to_owned())));
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Model, Request};
    use crate::profile::EveryMac;

    fn place() -> Place<'static> {
        Place { names: &EveryMac, private_folder: Some("/private/var/folders/x/own"), terminal: None, proxy_port: None }
    }

    #[test]
    fn the_program_and_its_arguments_come_last_and_the_profile_is_one_argument() {
        let profile = ExecutionProfile::closed("test");
        let made =
            arguments(&profile, &place(), Path::new("/bin/echo"), vec!["-p".to_owned(), "x y".to_owned()]).unwrap();
        let [name, option, text, rest @ ..] = made.as_slice() else { panic!("{made:?}") };
        assert_eq!((name.as_str(), option.as_str()), ("sandbox-exec", "-p"));
        assert!(Model::parse(text).is_ok());
        assert_eq!(rest, ["/bin/echo", "-p", "x y"]);
    }

    #[test]
    fn the_private_folder_may_be_written_and_another_s_may_not() {
        let mut profile = ExecutionProfile::closed("test");
        profile.filesystem.temporary = Temporary::Private;
        let made = arguments(&profile, &place(), Path::new("/bin/echo"), Vec::new()).unwrap();
        let model = Model::parse(&made[2]).unwrap();
        let writes = |path: &str| model.allows(&Request::file("file-write-data", path)).unwrap();
        assert!(writes("/private/var/folders/x/own/file"));
        assert!(!writes("/private/var/folders/x/others/file"));
    }

    #[test]
    fn a_program_by_no_absolute_path_is_refused() {
        let profile = ExecutionProfile::closed("test");
        for program in ["echo", "-p", "./x", ""] {
            let refused = arguments(&profile, &place(), Path::new(program), Vec::new()).unwrap_err();
            assert_eq!(refused.code, ErrorCode::PathInvalid, "{program}");
        }
    }

    #[test]
    fn a_profile_that_no_command_line_holds_is_refused() {
        let mut profile = ExecutionProfile::closed("test");
        profile.filesystem.rules = (0..6000)
            .map(|number| {
                let pattern =
                    cofferdam_bridge::profile::PathPattern::Literal(format!("/opt/{number}/{}", "x".repeat(100)));
                let rule = cofferdam_bridge::verdict::RuleRef::new("test", None, "filesystem.read");
                cofferdam_bridge::profile::PathRule::new(cofferdam_bridge::profile::PathEffect::Read, pattern, rule)
            })
            .collect();
        let refused = arguments(&profile, &place(), Path::new("/bin/echo"), Vec::new()).unwrap_err();
        assert_eq!(refused.code, ErrorCode::UnsupportedBackendFeature);
    }

    #[test]
    fn temporary_folders_are_named_only_where_there_is_one_and_whatever_was_asked_for() {
        let mut profile = ExecutionProfile::closed("test");
        let asked = BTreeMap::from([("TMPDIR".to_owned(), "/elsewhere".to_owned()), ("A".to_owned(), "b".to_owned())]);
        assert_eq!(environment(&profile, asked.clone(), Some("/own")), asked);
        profile.filesystem.temporary = Temporary::Private;
        let made = environment(&profile, asked, Some("/own"));
        assert_eq!((made["TMPDIR"].as_str(), made["TMP"].as_str(), made["A"].as_str()), ("/own", "/own", "b"));
    }
}
