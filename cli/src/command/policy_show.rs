//! `cofferdam policy show`: a policy with all it extends, and where each line comes from.

use crate::compose::{Places, host_environment};
use crate::failure::Failure;
use crate::{escape, policy_file};
use clap::Args;
use cofferdam_bridge::verdict::RuleRef;
use std::collections::HashSet;
use std::path::Path;

/// Shows a policy with all it extends, and where each line comes from.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cofferdam policy show dev")]
pub(crate) struct Show {
    /// A built-in's name or a file.
    #[arg(value_name = "NAME|FILE", default_value = "dev")]
    policy: String,
}

impl Show {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let places = Places::find(Some(Path::new(".")))?;
        let compiled = policy_file::find(&self.policy)?.compile(&places.placeholders(), &host_environment())?;
        let profile = &compiled.profile;
        let files = profile.filesystem.rules.iter().map(|rule| &rule.rule);
        let network = profile.network.allow.iter().chain(&profile.network.datagrams).map(|rule| &rule.rule);
        let commands = profile.commands.allow.iter().chain(&profile.commands.deny).map(|rule| &rule.rule);
        let mut text = String::new();
        let mut seen = HashSet::new();
        for rule in files.chain(network).chain(commands).filter(|rule| seen.insert((*rule).clone())) {
            text.push_str(&line(rule));
        }
        let word = |value: serde_json::Result<serde_json::Value>| value.unwrap_or_default().to_string();
        text.push_str(&format!("network.mode = {}\n", word(serde_json::to_value(profile.network.mode))));
        for (name, value) in serde_json::to_value(&profile.limits).unwrap_or_default().as_object().into_iter().flatten()
        {
            text.push_str(&format!(
                "limits.{name} = {}\n",
                if value.is_null() { "none".to_owned() } else { value.to_string() }
            ));
        }
        text.push_str(&format!("commands.calls = {}\n", word(serde_json::to_value(profile.commands.calls))));
        text.push_str(&format!("isolation.require = {}\n", word(serde_json::to_value(profile.isolation.require))));
        let names: Vec<_> = compiled.environment.keys().map(|name| escape::shown(name)).collect();
        text.push_str(&format!("environment: {}\n", names.join(", ")));
        super::print(&text)?;
        Ok(0)
    }
}

fn line(rule: &RuleRef) -> String {
    format!("{:<60} # {}\n", escape::shown(&rule.text), escape::shown(&rule.place()))
}
