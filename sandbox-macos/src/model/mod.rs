//! A model of Seatbelt: reads profiles in the part of the language that is written here, and answers what they allow.
//!
//! It is no copy of the kernel's: it says what public documents and shipped profiles agree on, is tested against those facts
//! (`tests/language.rs`, each with its source), and refuses whatever it does not know, so that no profile is taken for checked
//! that is not. Where sources differ, it can be asked both ways ([`Reading`], [`Units`]).

mod expression;
mod filter;
mod syntax;

pub use expression::{Expression, Units};
use filter::Filter;
use syntax::Form;

/// Which of two rules decides that are about operations of different width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reading {
    /// The last that matches, whatever its operation.
    LastRule,
    /// The last among those about the narrowest operation: `file-read-data` before `file-read*` before `default`.
    NarrowestOperation,
}

/// What a file is, as far as rules ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum VnodeType {
    /// A file with contents.
    #[default]
    RegularFile,
    /// A folder.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device of characters.
    CharacterDevice,
}

/// An operation that a process asks for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// Its name, without a star: `file-read-data`.
    pub operation: String,
    /// What it is about, by kind: the real path, a service's name, an address.
    pub subject: Subject,
}

/// What an operation is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject {
    /// Nothing that rules ask about.
    Nothing,
    /// A file, by its real path; whether it is a terminal that the run made itself.
    File {
        /// The path.
        path: String,
        /// What it is.
        kind: VnodeType,
        /// Whether the kernel has marked it as a terminal made inside.
        own_terminal: bool,
    },
    /// A service, a fact or another thing with a name.
    Named(String),
    /// An address: `localhost` or another host, and a port.
    Address(String, u16),
    /// A socket with a path.
    SocketPath(String),
    /// A family of sockets, such as `AF_UNIX`.
    SocketDomain(String),
    /// Another process: of the same run or not.
    Process {
        /// Whether it has the same profile.
        same_sandbox: bool,
    },
}

impl Request {
    /// `operation` on the file at `path`.
    pub fn file(operation: &str, path: &str) -> Self {
        Self::typed_file(operation, path, VnodeType::default())
    }

    /// `operation` on what is at `path`.
    pub fn typed_file(operation: &str, path: &str, kind: VnodeType) -> Self {
        let subject = Subject::File { path: path.to_owned(), kind, own_terminal: false };
        Self::about(operation, subject)
    }

    /// `operation` on `subject`.
    pub fn about(operation: &str, subject: Subject) -> Self {
        Self { operation: operation.to_owned(), subject }
    }
}

/// What was decided, and by the rule on which line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// Whether it may be.
    pub allowed: bool,
    /// The line of the rule's beginning.
    pub line: usize,
}

/// A profile made ready.
#[derive(Clone, Debug)]
pub struct Model {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    allows: bool,
    operations: Vec<String>,
    filters: Vec<Filter>,
    line: usize,
}

/// Operations that are known, without those that only stand for others. A misspelt operation must not pass for one.
const OPERATIONS: [&str; 32] = [
    "file-read-data",
    "file-read-metadata",
    "file-read-xattr",
    "file-write-acl",
    "file-write-create",
    "file-write-data",
    "file-write-flags",
    "file-write-mode",
    "file-write-owner",
    "file-write-setugid",
    "file-write-times",
    "file-write-unlink",
    "file-write-xattr",
    "file-ioctl",
    "file-link",
    "file-clone",
    "file-map-executable",
    "process-exec",
    "process-exec-interpreter",
    "process-fork",
    "process-info-pidinfo",
    "process-info-setcontrol",
    "signal",
    "mach-lookup",
    "mach-register",
    "sysctl-read",
    "sysctl-write",
    "ipc-posix-sem",
    "ipc-posix-shm-read-data",
    "pseudo-tty",
    "network-outbound",
    "system-socket",
];

const FURTHER_OPERATIONS: [&str; 3] = ["network-bind", "network-inbound", "iokit-open"];

impl Model {
    /// Reads a profile.
    ///
    /// # Errors
    /// A sentence with the line of what is no profile, or is not known here.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut forms = syntax::read(text)?.into_iter();
        let version = Form::List(vec![Form::Symbol("version".into()), Form::Symbol("1".into())], 1);
        match forms.next() {
            Some(Form::List(first, _)) if Form::List(first.clone(), 1) == version => {}
            _ => return Err("a profile begins with `(version 1)`".to_owned()),
        }
        let rules = forms.map(|form| rule(&form)).collect::<Result<_, _>>()?;
        Ok(Self { rules })
    }

    /// What the profile says to `request`; with no rule at all, not even about `default`, it is refused.
    ///
    /// # Errors
    /// For an operation that is not known here.
    pub fn decide(&self, request: &Request, reading: Reading, units: Units) -> Result<Answer, String> {
        if !is_operation(&request.operation) {
            return Err(format!("the operation `{}` is not known here", request.operation));
        }
        let mut best: Option<(usize, Answer)> = None;
        for rule in &self.rules {
            let widths = rule.operations.iter().filter_map(|operation| width(operation, &request.operation));
            let Some(narrowness) = widths.max() else { continue };
            let matches = rule.filters.is_empty() || rule.filters.iter().any(|filter| filter.matches(request, units));
            let beaten = reading == Reading::NarrowestOperation && best.is_some_and(|(best, _)| best > narrowness);
            if matches && !beaten {
                best = Some((narrowness, Answer { allowed: rule.allows, line: rule.line }));
            }
        }
        Ok(best.map_or(Answer { allowed: false, line: 0 }, |(_, answer)| answer))
    }

    /// Whether the profile allows `request`, which must not depend on how it is read.
    ///
    /// # Errors
    /// Where it does, and for what is not known here.
    pub fn allows(&self, request: &Request) -> Result<bool, String> {
        let first = self.decide(request, Reading::LastRule, Units::Bytes)?;
        for (reading, units) in [
            (Reading::LastRule, Units::Characters),
            (Reading::NarrowestOperation, Units::Bytes),
            (Reading::NarrowestOperation, Units::Characters),
        ] {
            let other = self.decide(request, reading, units)?;
            if other.allowed != first.allowed {
                return Err(format!(
                    "{request:?}: {first:?} by the last rule in bytes, {other:?} by {reading:?} in {units:?}"
                ));
            }
        }
        Ok(first.allowed)
    }
}

/// How narrowly `operation` names `asked`: the length of what it spells out; `default` names everything.
fn width(operation: &str, asked: &str) -> Option<usize> {
    match operation.strip_suffix('*') {
        _ if operation == "default" => Some(0),
        Some(family) => asked.starts_with(family).then_some(family.len()),
        None => (operation == asked).then_some(usize::MAX),
    }
}

fn is_operation(name: &str) -> bool {
    OPERATIONS.contains(&name) || FURTHER_OPERATIONS.contains(&name)
}

fn rule(form: &Form) -> Result<Rule, String> {
    let Form::List(list, line) = form else { return Err(format!("{form:?} stands where a rule must")) };
    let fault = |what: String| format!("line {line}: {what}");
    let allows = match list.first() {
        Some(Form::Symbol(action)) if action == "allow" => true,
        Some(Form::Symbol(action)) if action == "deny" => false,
        other => return Err(fault(format!("{other:?} is no action"))),
    };
    let mut operations = Vec::new();
    let mut filters = Vec::new();
    for form in list.iter().skip(1) {
        match form {
            Form::Symbol(name) if filters.is_empty() => {
                let family = name.strip_suffix('*');
                let known = name == "default"
                    || family.map_or_else(
                        || is_operation(name),
                        |family| OPERATIONS.iter().chain(&FURTHER_OPERATIONS).any(|own| own.starts_with(family)),
                    );
                if !known {
                    return Err(fault(format!("the operation `{name}` is not known here")));
                }
                operations.push(name.clone());
            }
            other => filters.push(filter::read(other).map_err(fault)?),
        }
    }
    if operations.is_empty() {
        return Err(fault("a rule names no operation".to_owned()));
    }
    Ok(Rule { allows, operations, filters, line: *line })
}
