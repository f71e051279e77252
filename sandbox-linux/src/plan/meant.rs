//! What the rules of a profile mean on this host now: the objects that they name, and what all rules together say to each.

use crate::plan::folding;
use crate::plan::planted::{self, Linked};
use crate::plan::resolve::{self, Found, Resolved, Resolver};
use crate::plan::view::{TEMPORARY, View};
use cofferdam_bridge::decide::{FileAccess, FilesystemRules};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::profile::{ExecutionProfile, FilesystemProfile, PathEffect, PathPattern, PathRule, Temporary};
use cofferdam_bridge::verdict::RuleRef;
use std::path::{Path, PathBuf};

impl View {
    /// What is on the host that each rule means. Links that a run may have planted lead to nothing.
    pub(super) fn meant(
        &mut self,
        profile: &ExecutionProfile,
        resolver: &mut Resolver,
    ) -> Result<Vec<(PathEffect, Resolved)>, BridgeError> {
        let mut linked = program_links(profile, resolver);
        let (mut found, mut expanded) = (Vec::new(), Vec::new());
        for rule in &profile.filesystem.rules {
            let (places, named) = match (&rule.pattern, rule.effect) {
                (PathPattern::Literal(path), _) => {
                    (resolve::literal(Path::new(path), resolver), !rule.rule.source.starts_with("built-in"))
                }
                (PathPattern::Glob(pattern), PathEffect::Read | PathEffect::Write) => {
                    let places = resolve::glob(pattern, rule, resolver)?.into_iter().map(Found::Object).collect();
                    // It says as much as it says, not as much as the names that it stands for now.
                    let pattern = PathPattern::Glob(resolve::canonical_pattern(pattern, resolver));
                    self.rules.push(PathRule::new(rule.effect, pattern, rule.rule.clone()));
                    (places, false)
                }
                // A pattern that takes away, or says to ask, is held by the broker, name by name.
                (PathPattern::Glob(pattern), _) => {
                    let pattern = PathPattern::Glob(resolve::canonical_pattern(pattern, resolver));
                    self.rules.push(PathRule::new(rule.effect, pattern, rule.rule.clone()));
                    (Vec::new(), false)
                }
                (_, _) => {
                    let message = format!(
                        "`{}` ({}) is of a kind that this plane does not know",
                        rule.rule.text,
                        rule.rule.place()
                    );
                    return Err(BridgeError::new(ErrorCode::UnsupportedBackendFeature, message));
                }
            };
            if let Some(pattern) = in_own_storage(rule, profile.filesystem.temporary) {
                // What it means is in the run's own storage, whatever the host has under that name.
                self.rules.push(PathRule::new(rule.effect, pattern, rule.rule.clone()));
            }
            let by_pattern = matches!(rule.pattern, PathPattern::Glob(_));
            for place in places {
                let direct = by_pattern && place.links().is_empty();
                // What a pattern names through a link lies elsewhere, where only a rule of its own can say that it is meant.
                let number = if direct { None } else { self.rule_about(place.path(), rule) };
                if direct {
                    expanded.extend(about(place.path(), rule));
                }
                let access = match rule.effect {
                    PathEffect::Read | PathEffect::PromptRead => Some(FileAccess::Read),
                    PathEffect::Write | PathEffect::PromptWrite => Some(FileAccess::Write),
                    _ => None,
                };
                let one = access.and_then(|access| leads(&place, number, &rule.rule, access, named));
                let at = one.is_some().then_some(linked.len());
                linked.extend(one);
                found.push((rule, place, at, by_pattern));
            }
        }
        let all = [self.rules.as_slice(), &expanded].concat();
        folding::check(&all)?;
        let passed_over = planted::check(&all, &linked, profile.filesystem.temporary)?;
        let numbers: Vec<usize> =
            passed_over.iter().filter_map(|at| linked.get(*at).and_then(|one| one.number)).collect();
        let mut number = 0..;
        self.rules.retain(|_| number.next().is_none_or(|number| !numbers.contains(&number)));
        found.retain(|(.., at, _)| at.is_none_or(|at| !passed_over.contains(&at)));
        let mut decided = FilesystemProfile::default();
        decided.rules.clone_from(&self.rules);
        let decided = FilesystemRules::new(&decided)?;
        let effect = |rule: &PathRule, place: &Found, by_pattern: bool| match by_pattern {
            true => effect_at(&decided, place.path()),
            false => rule.effect,
        };
        let meant = found.into_iter().map(|(rule, place, _, by_pattern)| (effect(rule, &place, by_pattern), place));
        Ok(meant.filter_map(|(effect, place)| place.object().map(|object| (effect, object))).collect())
    }

    /// A path that is no text can be named by no rule but one above it.
    fn rule_about(&mut self, path: &Path, rule: &PathRule) -> Option<usize> {
        self.rules.push(about(path, rule)?);
        Some(self.rules.len() - 1)
    }
}

/// The links that lead to programs which may be executed.
fn program_links(profile: &ExecutionProfile, resolver: &mut Resolver) -> Vec<Linked> {
    let mut linked = Vec::new();
    for rule in &profile.commands.allow {
        let found = resolve::literal(Path::new(&rule.prefix), resolver);
        linked.extend(found.iter().filter_map(|found| leads(found, None, &rule.rule, FileAccess::Read, true)));
    }
    linked
}

/// What a rule's path led through, if it were links.
fn leads(found: &Found, number: Option<usize>, rule: &RuleRef, access: FileAccess, named: bool) -> Option<Linked> {
    let links: Vec<PathBuf> = found.links().iter().map(|(place, _)| place.clone()).collect();
    let target = found.path().to_owned();
    (!links.is_empty()).then(|| Linked { number, rule: rule.clone(), links, target, access, named })
}

/// The rule about just this path.
fn about(path: &Path, rule: &PathRule) -> Option<PathRule> {
    Some(PathRule::new(rule.effect, PathPattern::Literal(path.to_str()?.to_owned()), rule.rule.clone()))
}

/// What all rules together come to at a path: one that a pattern names may be meant otherwise by a rule that says more.
fn effect_at(rules: &FilesystemRules, path: &Path) -> PathEffect {
    let path = path.to_string_lossy();
    let (Ok(write), Ok(read)) = (rules.decide(&path, FileAccess::Write), rules.decide(&path, FileAccess::Read)) else {
        return PathEffect::Deny;
    };
    match (write.allowed, read.allowed) {
        (true, _) => PathEffect::Write,
        _ if write.asks() => PathEffect::PromptWrite,
        (false, true) => PathEffect::Read,
        _ if read.asks() => PathEffect::PromptRead,
        (false, false) => PathEffect::Deny,
    }
}

/// What a rule that takes away says about private temporary storage, which is not the host's `/tmp`.
fn in_own_storage(rule: &PathRule, temporary: Temporary) -> Option<PathPattern> {
    let taking = !matches!(rule.effect, PathEffect::Read | PathEffect::Write);
    match &rule.pattern {
        PathPattern::Literal(path) if taking && temporary == Temporary::Private => {
            Path::new(path).starts_with(TEMPORARY).then(|| rule.pattern.clone())
        }
        _ => None,
    }
}
