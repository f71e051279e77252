//! The user's audit log: where it is, whether this command records, and how.

use crate::failure::{Failure, io};
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_kernel::audit::{ArgumentRecording, AuditSettings, Recorder};
use cofferdam_plane_kit::host::{HostAudit, HostClock, HostSigner};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where the log is, or `off`.
const PLACE: &str = "COFFERDAM_AUDIT";

/// `redacted`: arguments are recorded, with what looks like a secret left out.
const ARGUMENTS: &str = "COFFERDAM_AUDIT_ARGUMENTS";

/// The file of the key to sign with.
const KEY: &str = "COFFERDAM_AUDIT_KEY";

/// The table, for help.
pub(crate) const HELP: &str = "Recording:
  Each run is recorded in the audit log before it starts; what cannot be recorded does not run.
  COFFERDAM_AUDIT=DIR            where the log is, else cofferdam/audit in the state
                                 directory; `off` records nothing
  COFFERDAM_AUDIT_ARGUMENTS=redacted
                                 records arguments, too, with what looks like a secret left out
  COFFERDAM_AUDIT_KEY=FILE       signs the log with this key (cofferdam audit key FILE makes one)";

/// What to do where the log cannot be used.
pub(crate) const HINTS: [&str; 2] =
    ["COFFERDAM_AUDIT=DIR names another place", "--no-audit or COFFERDAM_AUDIT=off runs it without a record"];

/// Whether a command records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recording {
    /// Unless the environment says otherwise.
    Usual,
    /// The user's own word on this very command.
    Off,
}

/// The recorder of this command; none where the user wants none.
pub(crate) fn recorder(recording: Recording) -> Result<Option<Recorder>, Failure> {
    let Some(place) = place().filter(|_| recording == Recording::Usual) else { return Ok(None) };
    let store = HostAudit::open(place?)?;
    Ok(Some(Recorder::open(store, HostClock::new(), settings()?)))
}

/// The log that is read: `given`, or the one that is written to.
pub(crate) fn reading(given: Option<&Path>) -> Result<HostAudit, Failure> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => place().ok_or_else(|| {
            Failure::new(ErrorCode::RequestInvalid, format!("{PLACE} is `off`, so there is no log to read"))
                .hint("name one: --log DIR")
        })??,
    };
    Ok(HostAudit::read_only(path)?)
}

/// Where the log is; `None` where the environment says that there is none.
fn place() -> Option<Result<PathBuf, Failure>> {
    match std::env::var_os(PLACE).filter(|value| !value.is_empty()) {
        Some(value) if value == "off" => None,
        Some(value) => Some(
            std::path::absolute(&value)
                .map_err(|error| io(&format!("{PLACE}={} cannot be used", Path::new(&value).display()), &error)),
        ),
        None => Some(HostAudit::of_user().ok_or_else(|| {
            let sentence = "neither XDG_STATE_HOME nor HOME says where the audit log is kept";
            Failure::new(ErrorCode::AuditUnavailable, sentence)
        })),
    }
}

fn settings() -> Result<AuditSettings, Failure> {
    let value = |name| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
    let mut settings = AuditSettings::new();
    match value(ARGUMENTS) {
        None => {}
        Some(word) if word == "counted" => {}
        Some(word) if word == "redacted" => settings = settings.arguments(ArgumentRecording::Redacted),
        Some(_) => {
            let sentence = format!("{ARGUMENTS} is neither `counted` nor `redacted`");
            return Err(Failure::new(ErrorCode::RequestInvalid, sentence));
        }
    }
    if let Some(path) = value(KEY) {
        settings = settings.signed_by(HostSigner::load(PathBuf::from(path))?);
    }
    Ok(settings)
}
