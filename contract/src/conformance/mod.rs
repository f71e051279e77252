//! The conformance kit: whether a plane, or a bridge, does what its contract says.
//!
//! A plane's author calls it from one test:
//!
//! ```no_run
//! # fn my_plane() -> std::sync::Arc<dyn cofferdam_bridge::execution::ExecutionBridge<Error = cofferdam_bridge::error::BridgeError>> { todo!() }
//! use cofferdam_contract::conformance::Kit;
//!
//! let report = Kit::new("my plane").plane(my_plane()).run();
//! assert!(report.passed(), "{}", report.text());
//! ```
//!
//! What a plane's descriptor does not claim is not asked of it, and is told as skipped. The checks run real programs (`/bin/sh` and what
//! every system has), try to break out for real, and look from outside at the effect. They make one folder of their own in the
//! temporary directory, and take it away.

mod check;
mod clock;
mod contexts;
mod descriptor;
mod events;
mod execution;
mod files;
mod filesystem;
mod filesystem_links;
mod isolation;
mod junit;
mod limits;
mod permission;
mod persistence;
mod preflight;
mod random;
mod report;
mod signals;
mod sink;
mod stage;
mod streams;
mod terminal;

pub use check::{CheckResult, Group, Outcome};
pub use report::Report;

use check::Suite;
use cofferdam_bridge::clock::ClockBridge;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::execution::ExecutionBridge;
use cofferdam_bridge::filesystem::FilesystemBridge;
use cofferdam_bridge::permission::PermissionBridge;
use cofferdam_bridge::persistence::PersistenceBridge;
use cofferdam_bridge::random::RandomBridge;
use cofferdam_bridge::telemetry::EventBridge;
use stage::Stage;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// The checks of one subject.
type Part = Box<dyn FnOnce(&mut Suite)>;

/// Puts together what is checked.
#[must_use]
pub struct Kit {
    subject: String,
    scratch: PathBuf,
    groups: Option<Vec<Group>>,
    first_failure: bool,
    parts: Vec<Part>,
}

impl fmt::Debug for Kit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kit").field("subject", &self.subject).field("groups", &self.groups).finish_non_exhaustive()
    }
}

impl Kit {
    /// A kit that checks nothing yet; `subject` is what reports call it.
    pub fn new(subject: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            scratch: std::env::temp_dir(),
            groups: None,
            first_failure: false,
            parts: Vec::new(),
        }
    }

    /// Where the kit makes its folder, in place of the temporary directory.
    pub fn scratch(mut self, folder: impl Into<PathBuf>) -> Self {
        self.scratch = folder.into();
        self
    }

    /// Checks these groups only.
    pub fn only(mut self, groups: impl IntoIterator<Item = Group>) -> Self {
        self.groups = Some(groups.into_iter().collect());
        self
    }

    /// Stops at the first failure.
    pub fn until_first_failure(mut self) -> Self {
        self.first_failure = true;
        self
    }

    /// Checks a plane.
    pub fn plane(mut self, plane: Arc<dyn ExecutionBridge<Error = BridgeError>>) -> Self {
        let scratch = self.scratch.clone();
        self.parts.push(Box::new(move |suite| plane_checks(suite, plane, &scratch)));
        self
    }

    /// Checks a file system that holds nothing that matters.
    pub fn filesystem(mut self, bridge: impl FilesystemBridge + 'static) -> Self {
        self.parts.push(Box::new(move |suite| filesystem::check(suite, &bridge)));
        self
    }

    /// Checks a clock and its timers.
    pub fn clock(mut self, bridge: impl ClockBridge + 'static) -> Self {
        self.parts.push(Box::new(move |suite| clock::check(suite, &bridge)));
        self
    }

    /// Checks a source of random bytes.
    pub fn random(mut self, bridge: impl RandomBridge + 'static) -> Self {
        self.parts.push(Box::new(move |suite| random::check(suite, &bridge)));
        self
    }

    /// Checks that whatever is asked is answered, and by nothing but what can be understood.
    pub fn permission(mut self, bridge: impl PermissionBridge + 'static) -> Self {
        self.parts.push(Box::new(move |suite| permission::check(suite, &bridge)));
        self
    }

    /// Checks a store of snapshots.
    pub fn persistence(mut self, bridge: impl PersistenceBridge + 'static) -> Self {
        self.parts.push(Box::new(move |suite| persistence::check(suite, &bridge)));
        self
    }

    /// Checks a listener to events.
    pub fn events(mut self, bridge: impl EventBridge + 'static) -> Self {
        self.parts.push(Box::new(move |suite| events::check(suite, &bridge)));
        self
    }

    /// Runs the checks. It takes about a minute for a plane that claims much.
    pub fn run(self) -> Report {
        let mut suite = Suite::new(self.groups, self.first_failure);
        for part in self.parts {
            part(&mut suite);
        }
        Report::new(self.subject, suite.finish())
    }
}

fn plane_checks(suite: &mut Suite, plane: Arc<dyn ExecutionBridge<Error = BridgeError>>, scratch: &std::path::Path) {
    descriptor::check(suite, &*plane);
    let stage = match Stage::new(plane, scratch) {
        Ok(stage) => stage,
        Err(why) => return suite.fail(Group::Preflight, "stage", "the plane accepts a plain profile", &why),
    };
    preflight::check(suite, &stage);
    contexts::check(suite, &stage);
    execution::check(suite, &stage);
    streams::check(suite, &stage);
    terminal::check(suite, &stage);
    signals::check(suite, &stage);
    limits::check(suite, &stage);
    isolation::check(suite, &stage);
}
