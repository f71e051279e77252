//! A profile's rules about programs, made ready for many decisions.

use super::RuleDecision;
use super::prefix_tree::PrefixTree;
use crate::path_pattern::check_path;
use crate::profile::{CommandProfile, CommandRule};
use crate::verdict::RuleRef;

/// The rules of a [`CommandProfile`], found without looking at each. Its verdicts are those of [`CommandProfile::decide`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandRules {
    tree: PrefixTree<Here>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Here {
    allow: Option<RuleRef>,
    deny: Option<RuleRef>,
}

impl CommandRules {
    /// The rules of `profile`.
    pub fn new(profile: &CommandProfile) -> Self {
        let mut tree = PrefixTree::<Here>::new();
        for rule in &profile.allow {
            with(&mut tree, rule, |here| here.allow = Some(rule.rule.clone()));
        }
        for rule in &profile.deny {
            with(&mut tree, rule, |here| here.deny = Some(rule.rule.clone()));
        }
        Self { tree }
    }

    /// Decides about a program by its canonical path: the longest prefix wins, at a tie deny does.
    pub fn decide(&self, canonical: &str) -> RuleDecision {
        if check_path(canonical).is_err() {
            return RuleDecision::nothing_matches();
        }
        let along = self.tree.along(canonical);
        let deciding = along.iter().rev().find_map(|(here, _)| match (&here.allow, &here.deny) {
            (_, Some(rule)) => Some((false, rule)),
            (Some(rule), None) => Some((true, rule)),
            (None, None) => None,
        });
        match deciding {
            Some((allowed, rule)) => RuleDecision { allowed, effect: None, rule: Some(rule.clone()) },
            None => RuleDecision::nothing_matches(),
        }
    }
}

/// Sets what hangs on the directory of `rule`. A prefix that is no normalised path covers no path that is one.
fn with(tree: &mut PrefixTree<Here>, rule: &CommandRule, set: impl FnOnce(&mut Here)) {
    let prefix = rule.prefix.trim_end_matches('/');
    if prefix.is_empty() || check_path(prefix).is_ok() {
        set(tree.at(prefix.split('/').skip(1)));
    }
}
