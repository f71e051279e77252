//! The file rules: which paths may be read and written, and which names stay where they are.
//!
//! Seatbelt judges each operation by the real path it meets, so a rule about a path is lost when a folder above it gets another name.
//! Three things hold it:
//! - **Names on the way** to what a rule takes away can neither be moved, removed nor made ([`held`](FileRules::held)).
//! - **What is taken away at any depth** of one writable place is so in every other, the private temporary folder included: a folder can
//!   be moved between them, and the two ends of a move are judged apart.
//! - Hard links are refused altogether: no rule allows `file-link`.

use super::expression::{Reach, Sense, Unsayable, Writing};
use super::names::{DATA_VOLUME, ROOT_LINKS, canonical_pattern, escaped, existing};
use super::planted;
use super::text::{Filter, rule};
use super::{Setting, cannot_say, in_folder};
use cofferdam_bridge::decide::{FileAccess, FilesystemRules};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::path_pattern::{CompiledPattern, Part};
use cofferdam_bridge::profile::{ExecutionProfile, FilesystemProfile, PathEffect, PathPattern, PathRule};
use cofferdam_bridge::verdict::RuleRef;
use std::collections::{BTreeSet, HashSet};

/// The file rules of a run, with real paths and with all that holds beyond the policy.
#[derive(Clone, Debug)]
pub struct FileRules {
    rules: FilesystemRules,
    writable: Vec<CompiledPattern>,
}

impl FileRules {
    pub(super) fn new(profile: &ExecutionProfile, setting: &Setting<'_>) -> Result<Self, BridgeError> {
        let mut rules = Vec::new();
        for own in &profile.filesystem.rules {
            let takes = takes(own.effect);
            let leads = canonical_pattern(setting.names, &own.pattern);
            // What is not understood takes everything away or gives nothing.
            let Some(pattern) = leads else { return Err(cannot_say("its pattern", &own.rule.text)) };
            if takes {
                // A link at the very name could be replaced by a file, and the private folder stands for /tmp.
                rules.push(PathRule::new(own.effect, lexical(setting, &own.pattern), own.rule.clone()));
                rules.extend(in_private_folder(setting, own));
                rules.extend(beneath_root_links(own));
            }
            rules.push(PathRule::new(own.effect, pattern, own.rule.clone()));
        }
        if let Some(folder) = setting.private_folder {
            let rule = RuleRef::new("private temporary folder", None, "filesystem.write \"{tmp}\"");
            rules.push(PathRule::new(PathEffect::Write, PathPattern::Literal(folder.to_owned()), rule));
        }
        planted::check(&profile.filesystem, &rules, setting)?;
        let mut seen = HashSet::new();
        rules.retain(|rule| seen.insert((rule.effect, rule.pattern.clone())));
        let beyond = everywhere(&rules)?;
        rules.extend(beyond.into_iter().filter(|rule| seen.insert((rule.effect, rule.pattern.clone()))));
        let mut closed = FilesystemProfile::default();
        closed.rules = rules;
        let writes = closed.rules.iter().filter(|rule| rule.effect == PathEffect::Write);
        let writable = writes.map(|rule| CompiledPattern::new(&rule.pattern)).collect::<Result<_, _>>()?;
        Ok(Self { rules: FilesystemRules::new(&closed)?, writable })
    }

    /// The rules by which what is written was decided.
    pub fn rules(&self) -> &FilesystemRules {
        &self.rules
    }

    /// Writes all rules about files.
    pub(super) fn write(&self, out: &mut String, setting: &Setting<'_>) -> Result<(), BridgeError> {
        let above = if self.shows_data_volume() { &["", DATA_VOLUME][..] } else { &[""] };
        let mut together = Together::default();
        for (pattern, effect, own) in self.rules.in_order().rev() {
            let filters = |sense, above: &[&str]| {
                let filters = self.filters(pattern, sense, above, setting);
                filters.map_err(|unsayable| cannot_say(&unsayable.0, &own.text))
            };
            if together.effect != Some(effect) {
                together.write(out);
                together.effect = Some(effect);
            }
            if !takes(effect) {
                // A rule that gives is only ever met by the name that the kernel gives.
                together.gives.extend(filters(Sense::Gives, &[""])?);
            }
            if takes(effect) || self.is_held(pattern, effect) {
                // Reading alone also takes writing away, wherever that is given more broadly.
                together.takes.extend(filters(Sense::Takes, above)?);
            }
        }
        together.write(out);
        self.write_ways(out);
        let (named, folders) = self.held(above, setting)?;
        out.push_str("; Names on the way to what is taken away stay what and where they are.\n");
        rule(out, "deny", "file-write-create file-write-unlink", &named);
        rule(out, "deny", "file-write-create file-write-unlink", &folders);
        Ok(())
    }

    /// Folders above what may be read can be looked at, not listed: realpath(3) asks about each of them.
    fn write_ways(&self, out: &mut String) {
        let mut above = BTreeSet::new();
        for (pattern, _, _) in self.rules.in_order().filter(|(_, effect, _)| !takes(*effect)) {
            let mut path = String::new();
            for part in pattern.parts().iter() {
                let Part::Literal(name) = part else { break };
                above.insert(if path.is_empty() { "/".to_owned() } else { path.clone() });
                path = format!("{path}/{name}");
            }
        }
        let denied = |path: &str| {
            let decision = self.rules.decide(path, FileAccess::Read);
            decision.map_or(true, |decision| !decision.allowed && decision.rule.is_some())
        };
        let filters: Vec<_> = above.into_iter().filter(|path| !denied(path)).map(Filter::Literal).collect();
        out.push_str("; Folders above what may be read: their facts, not what is in them.\n");
        rule(out, "allow", "file-read-metadata", &filters);
    }

    /// What must keep its name: names that a rule spells out, and folders and links where it has a wildcard.
    fn held(&self, above: &[&str], setting: &Setting<'_>) -> Result<(Vec<Filter>, Vec<Filter>), BridgeError> {
        let (mut named, mut folders) = (Vec::new(), Vec::new());
        for (pattern, effect, own) in self.rules.in_order() {
            if !self.is_held(pattern, effect) {
                continue;
            }
            let parts = pattern.parts();
            for length in 1..parts.len() {
                let prefix = parts.get(..length).unwrap_or_default();
                if is_any_depth_of_a_place(prefix) || self.is_out_of_reach(prefix) {
                    continue;
                }
                let fixed = existing(setting.names, prefix);
                let writing = Writing { sense: Sense::Takes, spelling: setting.spelling, fixed, reach: Reach::Alone };
                for above in above {
                    let filter = writing.filter(above, prefix);
                    let filter = filter.map_err(|unsayable| cannot_say(&unsayable.0, &own.text))?;
                    match prefix.last() {
                        Some(Part::Literal(_)) => named.push(filter),
                        _ => folders.push(Filter::FoldersAndLinks(Box::new(filter))),
                    }
                }
            }
        }
        for list in [&mut named, &mut folders] {
            let mut seen = HashSet::new();
            list.retain(|filter| seen.insert(filter.clone()));
        }
        Ok((named, folders))
    }

    /// Whether a rule takes away something that a guest might get by moving a folder.
    fn is_held(&self, pattern: &CompiledPattern, effect: PathEffect) -> bool {
        let parts = pattern.parts();
        match effect {
            PathEffect::Write => false,
            // Reading given beneath a place that may be written takes writing away.
            _ => self.writable.iter().any(|place| may_meet(&place.parts(), &parts)),
        }
    }

    /// A literal path that no rule lets anybody write needs no further rule to stay.
    fn is_out_of_reach(&self, prefix: &[Part]) -> bool {
        let mut path = String::new();
        for part in prefix {
            let Part::Literal(name) = part else { return false };
            path = format!("{path}/{name}");
        }
        !self.writable.iter().any(|place| place.matches(&path))
    }

    fn filters(
        &self,
        pattern: &CompiledPattern,
        sense: Sense,
        above: &[&str],
        setting: &Setting<'_>,
    ) -> Result<Vec<Filter>, Unsayable> {
        let parts = pattern.parts();
        let fixed = existing(setting.names, &parts);
        let writing = Writing { sense, spelling: setting.spelling, fixed, reach: Reach::Beneath };
        above.iter().map(|above| writing.filter(above, &parts)).collect()
    }

    /// Whether something may be reached by its name on the data volume, too.
    fn shows_data_volume(&self) -> bool {
        let volume: Vec<_> = DATA_VOLUME.split('/').skip(1).map(|name| Part::Literal(name.to_owned())).collect();
        let mut gives = self.rules.in_order().filter(|(_, effect, _)| !takes(*effect));
        gives.any(|(pattern, _, _)| may_meet(&pattern.parts(), &volume))
    }
}

fn takes(effect: PathEffect) -> bool {
    !matches!(effect, PathEffect::Read | PathEffect::Write)
}

/// Rules of one effect that follow one another, written as one.
#[derive(Default)]
struct Together {
    effect: Option<PathEffect>,
    gives: Vec<Filter>,
    takes: Vec<Filter>,
}

impl Together {
    fn write(&mut self, out: &mut String) {
        let (gives, takes) = (std::mem::take(&mut self.gives), std::mem::take(&mut self.takes));
        match self.effect {
            None => {}
            Some(PathEffect::Read) => {
                rule(out, "allow", "file-read*", &gives);
                rule(out, "deny", "file-write*", &takes);
            }
            Some(PathEffect::Write) => rule(out, "allow", "file-read* file-write*", &gives),
            Some(PathEffect::Protect) => rule(out, "deny", "file-write*", &takes),
            // A new kind of effect never means allow.
            Some(_) => rule(out, "deny", "file-read* file-write*", &takes),
        }
    }
}

/// The pattern with links followed up to the folder that its last literal name is in, and not at that name itself.
fn lexical(setting: &Setting<'_>, pattern: &PathPattern) -> PathPattern {
    let PathPattern::Literal(path) = pattern else { return pattern.clone() };
    let Some((folder, name)) = path.rsplit_once('/') else { return pattern.clone() };
    let folder = super::canonical(setting.names, if folder.is_empty() { "/" } else { folder });
    PathPattern::Literal(format!("{}/{name}", folder.trim_end_matches('/')))
}

/// The same of the private folder, for a rule about what is in `/tmp`.
fn in_private_folder(setting: &Setting<'_>, own: &PathRule) -> Option<PathRule> {
    let folder = setting.private_folder?;
    let pattern = match &own.pattern {
        PathPattern::Literal(path) => PathPattern::Literal(in_folder(path, folder)?),
        PathPattern::Glob(text) => PathPattern::Glob(in_folder(text, &escaped(folder))?),
        _ => return None,
    };
    Some(PathRule::new(own.effect, pattern, own.rule.clone()))
}

/// A pattern that begins with a wildcard also means what the links of the root lead to.
fn beneath_root_links(own: &PathRule) -> Vec<PathRule> {
    let PathPattern::Glob(text) = &own.pattern else { return Vec::new() };
    let Ok(pattern) = CompiledPattern::new(&own.pattern) else { return Vec::new() };
    let parts = pattern.parts();
    let Some(first @ Part::Wild(_)) = parts.first() else { return Vec::new() };
    let rest: Vec<_> = text.split('/').filter(|component| !component.is_empty() && *component != ".").skip(1).collect();
    let links = ROOT_LINKS.iter().filter(|link| first.matches(link));
    let globs = links.map(|link| format!("/private/{link}/{}", rest.join("/")));
    let whole = globs.map(|glob| PathPattern::Glob(glob.trim_end_matches('/').to_owned()));
    whole.map(|pattern| PathRule::new(own.effect, pattern, own.rule.clone())).collect()
}

/// What is taken away at any depth of a writable place, for every other writable place.
fn everywhere(rules: &[PathRule]) -> Result<Vec<PathRule>, BridgeError> {
    let places: Vec<_> = rules.iter().filter(|rule| rule.effect == PathEffect::Write).collect();
    let compiled = places.iter().map(|place| CompiledPattern::new(&place.pattern)).collect::<Result<Vec<_>, _>>()?;
    let mut beyond = Vec::new();
    for own in rules.iter().filter(|rule| rule.effect != PathEffect::Write) {
        let PathPattern::Glob(text) = &own.pattern else { continue };
        let pattern = CompiledPattern::new(&own.pattern)?;
        let parts = pattern.parts();
        let depth = parts.iter().position(|part| *part == Part::AnyDepth);
        let Some(depth) = depth.filter(|depth| parts.iter().take(*depth).all(is_literal)) else { continue };
        let root = parts.get(..depth).unwrap_or_default();
        if !compiled.iter().any(|place| may_meet(&place.parts(), &parts)) {
            continue;
        }
        let components = text.split('/').filter(|component| !component.is_empty() && *component != ".");
        let suffix: Vec<_> = components.skip(depth + 1).collect();
        if suffix.is_empty() {
            continue;
        }
        let effect = if own.effect == PathEffect::Deny { PathEffect::Deny } else { PathEffect::Protect };
        for (place, compiled) in places.iter().zip(&compiled) {
            if compiled.parts().starts_with(root) {
                continue;
            }
            let place = match &place.pattern {
                PathPattern::Literal(path) => escaped(path.trim_end_matches('/')),
                PathPattern::Glob(text) => text.clone(),
                _ => continue,
            };
            let pattern = PathPattern::Glob(format!("{place}/**/{}", suffix.join("/")));
            beyond.push(PathRule::new(effect, pattern, own.rule.clone()));
        }
    }
    Ok(beyond)
}

fn is_literal(part: &Part) -> bool {
    matches!(part, Part::Literal(_))
}

/// Literal names and then `**`: any folder of one place, whose name means nothing.
fn is_any_depth_of_a_place(prefix: &[Part]) -> bool {
    matches!(prefix.split_last(), Some((Part::AnyDepth, before)) if before.iter().all(is_literal))
}

/// Whether what one pattern covers may hold, or lie in, what the other does: as far as both are literal they are the same.
fn may_meet(one: &[Part], other: &[Part]) -> bool {
    one.iter()
        .zip(other)
        .take_while(|(one, other)| is_literal(one) && is_literal(other))
        .all(|(one, other)| one == other)
}
