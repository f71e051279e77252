//! The registry of actions.

use super::builtin;
use super::define::{Action, ActionDescriptor, Place};
use super::job::JobKeeper;
use super::step::{Plan, StepEnd};
use super::worker::Worker;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use schemars::schema_for;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Actions by name, and what each of their jobs needs.
#[derive(Clone)]
#[must_use]
pub struct Actions {
    pub(super) registered: BTreeMap<String, Arc<dyn Registered>>,
    pub(super) worker: Option<Worker>,
    pub(super) keepers: Vec<Arc<dyn JobKeeper>>,
    pub(super) prefix: String,
    pub(super) next_job: Arc<AtomicU64>,
}

impl fmt::Debug for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Actions").field("names", &self.registered.keys()).finish_non_exhaustive()
    }
}

/// An action whose types are forgotten.
pub(super) trait Registered: Send + Sync {
    fn describe(&self) -> ActionDescriptor;
    fn prepare<'a>(&'a self, arguments: &str, place: &Place) -> Result<Prepared<'a>, BridgeError>;
}

/// Makes the result of what ran.
type Conclude<'a> = Box<dyn FnOnce(&[StepEnd]) -> Result<Value, BridgeError> + Send + 'a>;

/// An action for given arguments.
pub(super) struct Prepared<'a> {
    pub(super) plan: Plan,
    pub(super) conclude: Conclude<'a>,
}

impl<A: Action> Registered for A {
    fn describe(&self) -> ActionDescriptor {
        ActionDescriptor {
            name: self.name().to_owned(),
            summary: self.summary().to_owned(),
            arguments: schema_for!(A::Arguments).to_value(),
            output: schema_for!(A::Output).to_value(),
        }
    }

    fn prepare<'a>(&'a self, arguments: &str, place: &Place) -> Result<Prepared<'a>, BridgeError> {
        let arguments: A::Arguments = serde_json::from_str(arguments).map_err(|fault| unfit(self.name(), &fault))?;
        self.validate(&arguments)?;
        let plan = self.plan(&arguments, place)?;
        let conclude = move |ends: &[StepEnd]| {
            let output = self.conclude(&arguments, ends)?;
            serde_json::to_value(output).map_err(|_| {
                BridgeError::new(
                    ErrorCode::ActionFailed,
                    "the action's result has no form in JSON; this is a fault of the action",
                )
            })
        };
        Ok(Prepared { plan, conclude: Box::new(conclude) })
    }
}

/// The error for arguments that do not fit. What serde says quotes values, which may be secrets: only field names of ours are told.
fn unfit(action: &str, fault: &serde_json::Error) -> BridgeError {
    let text = fault.to_string();
    let what = match text.split_once(" at line ").map_or(text.as_str(), |(what, _)| what) {
        what if what.starts_with("missing field") || what.starts_with("duplicate field") => what.to_owned(),
        what if what.starts_with("unknown field") => match what.split_once(", expected ") {
            Some((_, known)) => format!("a field is not known; expected {known}"),
            None => "a field is not known".to_owned(),
        },
        what if what.starts_with("unknown variant") => match what.split_once(", expected ") {
            Some((_, known)) => format!("a value is none of those that there are; expected {known}"),
            None => "a value is none of those that there are".to_owned(),
        },
        _ => "a value is of the wrong type".to_owned(),
    };
    let message = format!(
        "the arguments of `{action}` do not fit: {what} (column {}); its schema says what does",
        fault.column()
    );
    BridgeError::new(ErrorCode::RequestInvalid, message).with("column", fault.column())
}

impl Actions {
    /// No actions.
    pub fn empty() -> Self {
        Self {
            registered: BTreeMap::new(),
            worker: None,
            keepers: Vec::new(),
            prefix: String::new(),
            next_job: Arc::new(AtomicU64::new(1)),
        }
    }

    /// The actions that the kernel brings: on files, git, the shell and HTTP. `worker` works for those on files and over HTTP; the
    /// policies of VMs that they run in must [admit](Worker::admitted) it.
    pub fn builtin(worker: Worker) -> Self {
        let mut actions = Self::empty();
        actions.worker = Some(worker);
        builtin::register(actions)
    }

    /// Adds an action of the host's own.
    ///
    /// # Errors
    /// `already_exists` for a name that is taken, `request_invalid` for one that is no name.
    pub fn register(mut self, action: impl Action) -> Result<Self, BridgeError> {
        let name = action.name().to_owned();
        let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            let message = "an action's name is of small letters, digits and `_`, at most 64 of them";
            return Err(BridgeError::new(ErrorCode::RequestInvalid, message));
        }
        if self.registered.contains_key(&name) {
            let message = format!("there is an action `{name}` already; choose another name");
            return Err(BridgeError::new(ErrorCode::AlreadyExists, message));
        }
        self.registered.insert(name, Arc::new(action));
        Ok(self)
    }

    pub(super) fn add(mut self, action: impl Action) -> Self {
        self.registered.insert(action.name().to_owned(), Arc::new(action));
        self
    }

    /// Tells each job to `keeper`, too.
    pub fn keeper(mut self, keeper: Arc<dyn JobKeeper>) -> Self {
        self.keepers.push(keeper);
        self
    }

    /// What each job's id begins with, so that jobs of several processes can be told apart.
    pub fn job_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Every action, by name.
    pub fn list(&self) -> Vec<ActionDescriptor> {
        self.registered.values().map(|action| action.describe()).collect()
    }

    /// The action of that name.
    pub fn describe(&self, name: &str) -> Option<ActionDescriptor> {
        self.registered.get(name).map(|action| action.describe())
    }

    pub(super) fn find(&self, name: &str) -> Result<&Arc<dyn Registered>, BridgeError> {
        self.registered.get(name).ok_or_else(|| {
            let names: Vec<_> = self.registered.keys().map(String::as_str).collect();
            let message = format!("there is no action of that name; there are {}", names.join(", "));
            BridgeError::new(ErrorCode::UnknownAction, message)
        })
    }
}
