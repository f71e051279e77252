//! From a policy to the profile that a plane is handed: placeholders filled in, layers merged, lists that always hold added.

use super::builtin::{PROTECTED, SECRETS};
use super::document::{Document, Entry, set_limit};
use super::entry::{EntryFault, Placeholders, TEMPORARY, escaped};
use super::tree::invalid;
use super::validated::Policy;
use super::{http_rule, listen_rule, overwritten};
use cofferdam_bridge::decide::{CommandRules, FilesystemRules};
use cofferdam_bridge::environment::loads_code;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::network_rules::NetworkRules;
use cofferdam_bridge::path_pattern::CompiledPattern;
use cofferdam_bridge::profile::{
    CommandRule, ExecutionProfile, NetworkMode, NetworkProfile, NetworkRule, PathEffect, PathPattern, PathRule,
    Temporary,
};
use cofferdam_bridge::verdict::RuleRef;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// A policy compiled for one VM.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompiledPolicy {
    /// What a plane enforces.
    pub profile: ExecutionProfile,
    /// The whole environment of a run. Holds values, so it is never logged.
    pub environment: BTreeMap<String, String>,
    /// The profile's file rules, made ready to decide by.
    pub(crate) files: FilesystemRules,
    /// Its rules about programs, likewise.
    pub(crate) programs: CommandRules,
    /// Its rules about the network, likewise.
    pub(super) hosts: NetworkRules,
    /// What is asked about the network, likewise.
    pub(super) asked_hosts: NetworkRules,
    /// Its rules about datagrams, likewise.
    pub(super) datagram_hosts: NetworkRules,
}

/// Environment values stay out of logs.
impl std::fmt::Debug for CompiledPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompiledPolicy").field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl Policy {
    /// Compiles the policy. `host_environment` is where `environment.pass` takes its values from.
    ///
    /// # Errors
    /// `policy_invalid` with file and line: an entry that names no place, a placeholder without a value, a rule that
    /// denies the directory worked in.
    pub fn compile(
        &self,
        places: &Placeholders,
        host_environment: &BTreeMap<String, String>,
    ) -> Result<CompiledPolicy, BridgeError> {
        let mut profile = ExecutionProfile::closed(self.name());
        profile.filesystem.workspace.clone_from(&places.workspace);
        let mut environment = BTreeMap::new();
        for layer in &self.layers {
            filesystem(&mut profile, layer, places)?;
            network(&mut profile, layer, places)?;
            prompts(&mut profile, layer, places)?;
            commands(&mut profile, layer, places)?;
            pass(&mut environment, layer, host_environment);
            for (name, value) in &layer.set {
                match places.expand(value, false) {
                    Ok(value) => drop(environment.insert(name.clone(), value)),
                    Err(EntryFault::Unset(_)) if is_builtin(layer) => {}
                    Err(fault) => return Err(told(layer, None, &fault)),
                }
            }
            for (name, value) in &layer.limits {
                set_limit(&mut profile.limits, name, *value);
            }
            if let Some(calls) = layer.calls {
                profile.commands.calls = calls;
            }
            if let Some(require) = layer.require {
                profile.isolation.require = require;
            }
            profile.isolation.allow_degraded.extend_from_slice(&layer.allow_degraded);
        }
        self.secrets(&mut profile, places);
        self.protected(&mut profile)?;
        self.check_working_directory(&profile, places)?;
        let files = FilesystemRules::new(&profile.filesystem)?;
        overwritten::check(&profile, &files)?;
        let (programs, hosts) = (CommandRules::new(&profile.commands), NetworkRules::new(&profile.network));
        let asked_hosts = NetworkRules::new(&asked_network(&profile));
        let datagram_hosts = NetworkRules::datagrams(&profile.network);
        Ok(CompiledPolicy { profile, environment, files, programs, hosts, asked_hosts, datagram_hosts })
    }

    fn secrets(&self, profile: &mut ExecutionProfile, places: &Placeholders) {
        let named: HashSet<PathPattern> = profile
            .filesystem
            .rules
            .iter()
            .filter(|rule| allows(rule.effect) || rule.effect.asks())
            .map(|rule| rule.pattern.clone())
            .collect();
        for text in SECRETS {
            for pattern in secret(text, places) {
                if !named.contains(&pattern) {
                    let rule = RuleRef::new("built-in secrets", None, format!("filesystem.deny \"{text}\""));
                    profile.filesystem.rules.push(PathRule::new(PathEffect::Deny, pattern, rule));
                }
            }
        }
    }

    /// What tools run later is protected in each place that may be written to, at its top and in every folder of it.
    fn protected(&self, profile: &mut ExecutionProfile) -> Result<(), BridgeError> {
        let freed: BTreeSet<&str> =
            self.layers.iter().flat_map(|layer| &layer.unprotect).map(|entry| entry.text.as_str()).collect();
        let writes = |effect| matches!(effect, PathEffect::Write | PathEffect::PromptWrite);
        let written = profile.filesystem.rules.iter().filter(|rule| writes(rule.effect));
        let places: BTreeSet<PathPattern> = written.map(|rule| rule.pattern.clone()).filter(outlives_the_run).collect();
        for name in PROTECTED.into_iter().filter(|name| !freed.contains(name)) {
            let rule = RuleRef::new("built-in protect", None, format!("filesystem.protect \"{name}\""));
            for pattern in places.iter().flat_map(|place| beneath(place, name)) {
                CompiledPattern::new(&pattern)?;
                profile.filesystem.rules.push(PathRule::new(PathEffect::Protect, pattern, rule.clone()));
            }
        }
        Ok(())
    }

    /// A deny that covers the directory worked in would leave nothing to work on: surely not what was meant.
    fn check_working_directory(&self, profile: &ExecutionProfile, places: &Placeholders) -> Result<(), BridgeError> {
        let Some(workspace) = &places.workspace else { return Ok(()) };
        for rule in profile.filesystem.rules.iter().filter(|rule| rule.effect == PathEffect::Deny) {
            if rule.rule.source != "built-in secrets" && CompiledPattern::new(&rule.pattern)?.matches(workspace) {
                let why = format!("`{}` covers the workspace `{workspace}` itself", rule.rule.text);
                let place = rule.rule.line.map(|line| super::tree::Place { line, column: 1 });
                return Err(invalid(&rule.rule.source, place, &why));
            }
        }
        Ok(())
    }
}

/// What an entry of the secrets list stands for. Without a home directory, everybody's is meant.
pub(super) fn secret(text: &str, places: &Placeholders) -> Vec<PathPattern> {
    match (places.pattern(text), text.strip_prefix("{home}")) {
        (Ok(pattern), _) => vec![pattern],
        (Err(_), Some(rest)) => {
            vec![PathPattern::Literal(format!("/root{rest}")), PathPattern::Glob(format!("/home/*{rest}"))]
        }
        (Err(_), None) => Vec::new(),
    }
}

/// Private temporary storage ends with the run, and with it what tools might run from it.
fn outlives_the_run(place: &PathPattern) -> bool {
    *place != PathPattern::Literal(TEMPORARY.to_owned())
}

/// `name` at the top of a place, and in every folder beneath it.
fn beneath(place: &PathPattern, name: &str) -> Vec<PathPattern> {
    match place {
        PathPattern::Literal(path) => {
            let path = path.trim_end_matches('/');
            let mut patterns = vec![PathPattern::Glob(format!("{}/**/{name}", escaped(path)))];
            if !name.contains('*') {
                // What exists at the top is held by a mount, too.
                patterns.push(PathPattern::Literal(format!("{path}/{name}")));
            }
            patterns
        }
        PathPattern::Glob(text) => vec![PathPattern::Glob(format!("{text}/**/{name}"))],
        _ => Vec::new(),
    }
}

fn allows(effect: PathEffect) -> bool {
    matches!(effect, PathEffect::Read | PathEffect::Write)
}

fn is_builtin(layer: &Document) -> bool {
    layer.source.starts_with("built-in ")
}

fn told(layer: &Document, entry: Option<&Entry>, fault: &EntryFault) -> BridgeError {
    let place = entry.and_then(|entry| entry.place);
    match fault {
        EntryFault::Wrong(why) => invalid(&layer.source, place, why),
        EntryFault::Unset(name) => {
            invalid(&layer.source, place, &format!("`{{{name}}}` has no value here; give one, or name the path itself"))
        }
    }
}

/// The pattern of an entry; a built-in's entry about something that this VM has not got is passed over.
pub(super) fn pattern(
    layer: &Document,
    entry: &Entry,
    places: &Placeholders,
) -> Result<Option<PathPattern>, BridgeError> {
    match places.pattern(&entry.text) {
        Ok(pattern) => Ok(Some(pattern)),
        Err(EntryFault::Unset(_)) if is_builtin(layer) => Ok(None),
        Err(fault) => Err(told(layer, Some(entry), &fault)),
    }
}

fn filesystem(profile: &mut ExecutionProfile, layer: &Document, places: &Placeholders) -> Result<(), BridgeError> {
    let lists = [
        (PathEffect::Read, &layer.read),
        (PathEffect::Write, &layer.write),
        (PathEffect::Deny, &layer.deny),
        (PathEffect::Protect, &layer.protect),
    ];
    for (effect, entries) in lists {
        for entry in entries {
            let Some(pattern) = pattern(layer, entry, places)? else { continue };
            if entry.text.contains("{tmp}") && allows(effect) {
                // Not the host's directory of that name: no rule about it may come of this.
                profile.filesystem.temporary = Temporary::Private;
                continue;
            }
            profile.filesystem.rules.push(PathRule::new(effect, pattern, entry.rule.clone()));
        }
    }
    if let Some(changes) = layer.changes {
        profile.filesystem.changes = changes;
    }
    Ok(())
}

/// What the host is to be asked about. Until it has said yes a prompt takes away what a broader rule would give.
fn prompts(profile: &mut ExecutionProfile, layer: &Document, places: &Placeholders) -> Result<(), BridgeError> {
    for (what, entry) in &layer.prompt {
        let Some(pattern) = pattern(layer, entry, places)? else { continue };
        match (what.as_str(), everything_beneath(pattern)) {
            ("commands", PathPattern::Literal(prefix)) => {
                let rule = CommandRule::new(prefix, entry.rule.clone());
                // Planes start nothing that is asked about. First in the list, so that a deny in the same words decides.
                profile.commands.deny.insert(0, rule.clone());
                profile.prompts.commands.push(rule);
            }
            ("commands", _) => return Err(wildcards(layer, entry)),
            _ if entry.text.contains("{tmp}") => {
                let why = format!("`{}` is private to each run, so there is nothing to ask about", entry.text);
                return Err(invalid(&layer.source, entry.place, &why));
            }
            (what, pattern) => {
                let write = what == "filesystem.write";
                let effect = if write { PathEffect::PromptWrite } else { PathEffect::PromptRead };
                profile.filesystem.rules.push(PathRule::new(effect, pattern, entry.rule.clone()));
            }
        }
    }
    for (host, entry) in &layer.prompt_network {
        if profile.network.mode == NetworkMode::Inherit {
            let why = "connections cannot be asked about where network.mode = \"inherit\" lets them through; use network.mode = \"allowlist\"";
            return Err(invalid(&layer.source, entry.place, why));
        }
        profile.prompts.network.push(NetworkRule::new(&host.host, host.first, host.last, entry.rule.clone()));
    }
    if let Some(remember) = layer.remember {
        profile.prompts.remember = remember;
    }
    Ok(())
}

/// What is asked about, as rules of a network.
fn asked_network(profile: &ExecutionProfile) -> NetworkProfile {
    let mut network = NetworkProfile::default();
    network.mode = NetworkMode::Allowlist;
    network.allow.clone_from(&profile.prompts.network);
    network
}

/// A pattern whose only wildcard is a `**` at its end covers what the directory before it covers.
fn everything_beneath(pattern: PathPattern) -> PathPattern {
    let PathPattern::Glob(text) = &pattern else { return pattern };
    match text.strip_suffix("/**") {
        Some(directory) if !directory.is_empty() && !directory.contains(['*', '?', '[', '\\']) => {
            PathPattern::Literal(directory.to_owned())
        }
        _ => pattern,
    }
}

fn wildcards(layer: &Document, entry: &Entry) -> BridgeError {
    let why = format!("`{}` has wildcards; programs are named by path or by the directory they lie in", entry.text);
    invalid(&layer.source, entry.place, &why)
}

fn network(profile: &mut ExecutionProfile, layer: &Document, places: &Placeholders) -> Result<(), BridgeError> {
    if let Some(mode) = layer.network_mode {
        profile.network.mode = mode;
    }
    for (host, entry) in &layer.network_allow {
        profile.network.allow.push(NetworkRule::new(&host.host, host.first, host.last, entry.rule.clone()));
    }
    for (host, entry) in &layer.network_datagrams {
        profile.network.datagrams.push(NetworkRule::new(&host.host, host.first, host.last, entry.rule.clone()));
    }
    listen_rule::publish(&mut profile.network, &layer.listen);
    profile.network.http.extend(layer.http.iter().map(|(rule, _)| rule.clone()));
    if let Some(tls) = layer.tls {
        profile.network.tls = tls;
    }
    if let Some(files) = &layer.http_authority {
        profile.network.http_authority = http_rule::compile_authority(layer, files, places)?;
    }
    Ok(())
}

fn commands(profile: &mut ExecutionProfile, layer: &Document, places: &Placeholders) -> Result<(), BridgeError> {
    for (entries, allow) in [(&layer.commands_allow, true), (&layer.commands_deny, false)] {
        for entry in entries {
            let prefix = match pattern(layer, entry, places)? {
                None => continue,
                Some(PathPattern::Literal(prefix)) => prefix,
                Some(_) => return Err(wildcards(layer, entry)),
            };
            let list = if allow { &mut profile.commands.allow } else { &mut profile.commands.deny };
            list.push(CommandRule::new(prefix, entry.rule.clone()));
        }
    }
    Ok(())
}

fn pass(environment: &mut BTreeMap<String, String>, layer: &Document, host: &BTreeMap<String, String>) {
    for entry in &layer.pass {
        let matching = |name: &String| match entry.text.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => *name == entry.text,
        };
        // A wildcard may match what must never be passed on, so each name is looked at, not only the entry.
        for (name, value) in host.iter().filter(|(name, _)| matching(name) && !loads_code(name)) {
            environment.insert(name.clone(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::decide::Access;
    use super::super::validated::NoFiles;
    use super::*;
    use cofferdam_bridge::verdict::Verdict;

    fn compiled(lines: &str, host: &[(&str, &str)]) -> Result<CompiledPolicy, BridgeError> {
        let places = Placeholders { workspace: Some("/w".to_owned()), ..Placeholders::default() };
        let host = host.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Policy::parse(&format!("version = 1\n{lines}"), "test", &NoFiles)?.compile(&places, &host)
    }

    fn allowed(policy: &CompiledPolicy, access: &Access) -> bool {
        policy.decide(access).unwrap().verdict == Verdict::Allow
    }

    #[test]
    fn c2_a_wildcard_passes_no_variable_that_loads_code() {
        let host = [("LD_PRELOAD", "x"), ("NODE_OPTIONS", "x"), ("NODE_ENV", "x")];
        let policy = compiled("[environment]\npass = [\"*\"]\n", &host).unwrap();
        assert_eq!(policy.environment.keys().collect::<Vec<_>>(), ["NODE_ENV"]);
    }

    #[test]
    fn what_is_asked_about_is_not_allowed_until_it_is() {
        let lines = "[filesystem]\nwrite = [\"/w\"]\n[prompt]\nfilesystem.write = [\"/w/asked\"]\n";
        let policy = compiled(lines, &[]).unwrap();
        assert!(allowed(&policy, &Access::Write("/w/free".to_owned())));
        let verdict = |access| policy.decide(&access).unwrap().verdict;
        assert_eq!(verdict(Access::Write("/w/asked/x".to_owned())), Verdict::Prompt);
        assert_eq!(verdict(Access::Read("/w/asked/x".to_owned())), Verdict::Allow);
        assert_eq!(verdict(Access::Write("/w/asked/.git/hooks/x".to_owned())), Verdict::Deny);
        let open = "[network]\nmode = \"inherit\"\n[prompt]\nnetwork = [\"*:443\"]\n";
        assert!(compiled(open, &[]).is_err());
        let listed =
            "[network]\nmode = \"allowlist\"\nallow = [\"a.example.com:443\"]\n[prompt]\nnetwork = [\"*:443\"]\n";
        let policy = compiled(listed, &[]).unwrap();
        let verdict = |host: &str, port| policy.decide(&Access::Connect(host.to_owned(), port)).unwrap().verdict;
        assert_eq!(verdict("a.example.com", 443), Verdict::Allow);
        assert_eq!(verdict("b.example.com", 443), Verdict::Prompt);
        assert_eq!(verdict("b.example.com", 80), Verdict::Deny);
    }

    #[test]
    fn a_program_that_is_asked_about_is_started_by_no_plane_unasked() {
        let lines = "[commands]\nallow = [\"/usr\"]\ndeny = [\"/usr/bin/never\"]\n[prompt]\ncommands = [\"/usr/bin/git\", \"/usr/bin/never\"]\n";
        let policy = compiled(lines, &[]).unwrap();
        let verdict = |path: &str| policy.decide(&Access::Execute(path.to_owned())).unwrap().verdict;
        assert_eq!(verdict("/usr/bin/git"), Verdict::Prompt);
        assert_eq!(verdict("/usr/bin/never"), Verdict::Deny);
        assert_eq!(verdict("/usr/bin/ls"), Verdict::Allow);
        assert!(!policy.profile.commands.decide("/usr/bin/git").allowed);
    }

    #[test]
    fn a_secret_that_a_prompt_names_is_asked_about_and_no_other() {
        let policy =
            compiled("[filesystem]\nread = [\"/etc\"]\n[prompt]\nfilesystem.read = [\"/etc/shadow\"]\n", &[]).unwrap();
        let verdict = |path: &str| policy.decide(&Access::Read(path.to_owned())).unwrap().verdict;
        assert_eq!(verdict("/etc/shadow"), Verdict::Prompt);
        assert_eq!(verdict("/etc/gshadow"), Verdict::Deny);
    }

    #[test]
    fn no_spelling_of_the_temporary_folder_is_a_rule_about_the_host_s() {
        for text in ["{tmp}", "{tmp}/", "{tmp}/x", "literal:{tmp}"] {
            for key in ["read", "write"] {
                let policy = compiled(&format!("[filesystem]\n{key} = [\"{text}\"]\n"), &[]).unwrap();
                assert!(policy.has_temporary(), "{key} {text}");
                let rules = &policy.profile.filesystem.rules;
                assert!(!rules.iter().any(|rule| allows(rule.effect)), "{key} {text}");
            }
        }
    }
}
