//! Deciding by a compiled policy, and explaining the decision.

use super::compile::CompiledPolicy;
use super::entry::TEMPORARY;
use super::overwritten;
use cofferdam_bridge::decide::{FileAccess, RuleDecision};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::policy_line::path_line;
use cofferdam_bridge::profile::{CommandRule, ExecutionProfile, NetworkMode, PathEffect, Temporary};
use cofferdam_bridge::prompt::{PromptAccess, PromptQuestion};
use cofferdam_bridge::verdict::{RuleRef, Verdict};

/// Something that a run may ask to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Reading the file or directory at an absolute path.
    Read(String),
    /// Changing, making or removing it.
    Write(String),
    /// Executing the program at an absolute, canonical path.
    Execute(String),
    /// Connecting to a host and port.
    Connect(String, u16),
    /// Sending datagrams of UDP to a host and port.
    Send(String, u16),
    /// Having an environment variable of this name.
    Environment(String),
}

/// A verdict with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision {
    /// Whether it may happen.
    pub verdict: Verdict,
    /// The rule that decided; none where no rule matched, which refuses.
    pub rule: Option<RuleRef>,
    /// For a refusal, and for what is asked about: what to write to allow it.
    pub remedy: Option<String>,
}

impl Decision {
    fn allow(rule: Option<RuleRef>) -> Self {
        Self { verdict: Verdict::Allow, rule, remedy: None }
    }

    fn prompt(rule: Option<RuleRef>, remedy: String) -> Self {
        Self { verdict: Verdict::Prompt, rule, remedy: Some(remedy) }
    }

    fn deny(rule: Option<RuleRef>, remedy: String) -> Self {
        Self { verdict: Verdict::Deny, rule, remedy: Some(remedy) }
    }

    /// The decision as sentences for a person.
    pub fn explain(&self, access: &Access) -> String {
        let what = match access {
            Access::Read(path) => format!("reading {path}"),
            Access::Write(path) => format!("writing {path}"),
            Access::Execute(path) => format!("executing {path}"),
            Access::Connect(host, port) => format!("connecting to {host}:{port}"),
            Access::Send(host, port) => format!("sending datagrams to {host}:{port}"),
            Access::Environment(name) => format!("the variable {name}"),
        };
        let verdict = match self.verdict {
            Verdict::Allow => "allowed",
            Verdict::Prompt => "asked of the host",
            _ => "refused",
        };
        let rule = match &self.rule {
            Some(rule) => format!("by `{}` ({})", rule.text, rule.place()),
            None if self.verdict == Verdict::Allow => {
                "by the policy (`{tmp}`, the private temporary folder, or an inherited mode)".to_owned()
            }
            None => "since no rule names it".to_owned(),
        };
        let mut text = format!("{what}: {verdict} {rule}");
        if let Some(remedy) = &self.remedy {
            text.push_str(&format!("\nto allow it: {remedy}"));
        }
        text
    }
}

impl Access {
    /// What the host is asked where `decision` says so; `None` for what is never asked about.
    pub(crate) fn question(&self, decision: &Decision) -> Option<PromptQuestion> {
        let (access, subject) = match self {
            Self::Read(path) => (PromptAccess::Read, path.clone()),
            Self::Write(path) => (PromptAccess::Write, path.clone()),
            Self::Execute(path) => (PromptAccess::Execute, path.clone()),
            Self::Connect(host, port) => (PromptAccess::Connect, format!("{host}:{port}")),
            Self::Send(..) | Self::Environment(_) => return None,
        };
        Some(PromptQuestion::new(access, subject, decision.rule.clone()?))
    }
}

impl CompiledPolicy {
    /// The profile with one program more that may be started, which the host was asked about.
    ///
    /// # Errors
    /// `policy_invalid` for one that the guest may overwrite.
    pub(crate) fn with_program(&self, program: &str) -> Result<ExecutionProfile, BridgeError> {
        let mut profile = self.profile.clone();
        profile.commands.deny.retain(|rule| !(rule.prefix == program && self.asks_about(&rule.rule)));
        let rule = RuleRef::new("host", None, format!("prompt.commands \"{program}\""));
        profile.commands.allow.push(CommandRule::new(program, rule));
        overwritten::check(&profile, &self.files)?;
        Ok(profile)
    }

    /// Decides about one access. A pure function of policy and access.
    ///
    /// # Errors
    /// `path_invalid` for a path that is not absolute and normalised.
    pub fn decide(&self, access: &Access) -> Result<Decision, BridgeError> {
        Ok(match access {
            Access::Read(path) => self.file(path, FileAccess::Read, "read")?,
            Access::Write(path) => self.file(path, FileAccess::Write, "write")?,
            Access::Execute(path) => {
                let decision = self.programs.decide(path);
                let asked = decision.rule.as_ref().is_some_and(|rule| !decision.allowed && self.asks_about(rule));
                if asked {
                    Decision::prompt(decision.rule, line("commands.allow", path))
                } else {
                    from_rule(decision, || line("commands.allow", path))
                }
            }
            Access::Connect(host, port) => self.connect(host, *port),
            Access::Send(host, port) => self.send(host, *port),
            Access::Environment(name) => match self.environment.contains_key(name) {
                true => Decision::allow(None),
                false => Decision::deny(None, format!("environment.pass = [\"{name}\"]")),
            },
        })
    }

    fn file(&self, path: &str, access: FileAccess, key: &str) -> Result<Decision, BridgeError> {
        let decision = self.files.decide(path, access)?;
        let private = path.strip_prefix(TEMPORARY).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if decision.rule.is_none() && private && self.has_temporary() {
            return Ok(Decision::allow(None));
        }
        let protected = decision.effect == Some(PathEffect::Protect);
        let name = decision.rule.as_ref().filter(|_| protected).and_then(protected_name).map(str::to_owned);
        Ok(from_rule(decision, || match name {
            Some(name) => format!("filesystem.unprotect = [\"{name}\"]"),
            None => line(&format!("filesystem.{key}"), path),
        }))
    }

    fn connect(&self, host: &str, port: u16) -> Decision {
        let network = &self.profile.network;
        let remedy = || format!("network.mode = \"allowlist\" and network.allow = [\"{host}:{port}\"]");
        match network.mode {
            NetworkMode::Inherit => Decision::allow(None),
            NetworkMode::Allowlist => match (self.hosts.host(host, port), self.asked_hosts.host(host, port)) {
                (Some(rule), _) => Decision::allow(Some(rule.clone())),
                (None, Some(rule)) => Decision::prompt(Some(rule.clone()), remedy()),
                (None, None) => Decision::deny(None, remedy()),
            },
            // A mode that is not known here never means allow.
            _ => Decision::deny(None, remedy()),
        }
    }

    fn send(&self, host: &str, port: u16) -> Decision {
        let network = &self.profile.network;
        if network.mode == NetworkMode::Inherit {
            return Decision::allow(None);
        }
        let rule = self.datagram_hosts.host(host, port).filter(|_| network.mode == NetworkMode::Allowlist);
        let remedy = || format!("network.mode = \"allowlist\" and network.allow = [\"udp://{host}:{port}\"]");
        rule.map_or_else(|| Decision::deny(None, remedy()), |rule| Decision::allow(Some(rule.clone())))
    }

    /// Whether `rule` is one about programs that says to ask.
    pub(crate) fn asks_about(&self, rule: &RuleRef) -> bool {
        self.profile.prompts.commands.iter().any(|own| own.rule == *rule)
    }

    /// Whether runs have private temporary folders.
    pub fn has_temporary(&self) -> bool {
        self.profile.filesystem.temporary == Temporary::Private
    }
}

fn from_rule(decision: RuleDecision, remedy: impl FnOnce() -> String) -> Decision {
    if decision.allowed {
        return Decision::allow(decision.rule);
    }
    if decision.asks() {
        return Decision::prompt(decision.rule, remedy());
    }
    let remedy = match &decision.rule {
        Some(rule) if rule.source == "built-in secrets" => {
            format!("{} (it is on the list of secrets: name the very file)", remedy())
        }
        Some(rule) if decision.effect != Some(PathEffect::Protect) && rule.text.contains("deny") => {
            format!("remove `{}` ({})", rule.text, rule.place())
        }
        _ => remedy(),
    };
    Decision::deny(decision.rule, remedy)
}

/// The line that names `path`, or what to do where no entry can.
fn line(key: &str, path: &str) -> String {
    path_line(key, path).unwrap_or_else(|| format!("name a directory above it under {key}: no entry can say this path"))
}

/// The entry of the protect list that a rule comes from.
fn protected_name(rule: &RuleRef) -> Option<&str> {
    rule.text.strip_prefix("filesystem.protect \"")?.strip_suffix('"')
}
