//! Finds the rules that may cover a path, without looking at those that cannot.

use super::name_hash::NameMap;
use super::prefix_tree::PrefixTree;
use crate::path_pattern::{CompiledPattern, Mark};

/// Ranks of rules, the most telling first.
type Ranks = Vec<usize>;

/// Where each rule is looked for: at the directory that its pattern spells out, and there by something that each path has which it
/// covers.
///
/// What is left to look at one by one are patterns of one directory that spell out neither a name nor an extension, such as `a*`, and
/// those that share theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileIndex {
    tree: PrefixTree<Here>,
}

/// The rules that begin at one directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Here {
    unmarked: Ranks,
    by_name: NameMap<Ranks>,
    by_extension: NameMap<Ranks>,
}

impl FileIndex {
    /// The index of `patterns`, whose order is that of their ranks.
    pub(super) fn new<'a>(patterns: impl Iterator<Item = &'a CompiledPattern>) -> Self {
        let mut tree = PrefixTree::<Here>::new();
        for (rank, pattern) in patterns.enumerate() {
            let here = tree.at(pattern.spelt_out());
            match pattern.mark() {
                Mark::None => here.unmarked.push(rank),
                Mark::Name(name) => here.by_name.entry(name.into()).or_default().push(rank),
                Mark::Extension(extension) => here.by_extension.entry(extension.into()).or_default().push(rank),
            }
        }
        Self { tree }
    }

    /// The first rank from `from` on that `covers` says yes to.
    ///
    /// Ranks must be in the order of specificity: whatever begins at a deeper directory on the way to the path is more specific.
    pub(super) fn first(&self, path: &str, from: usize, covers: impl Fn(usize) -> bool) -> Option<usize> {
        let along = self.tree.along(path);
        along.iter().rev().find_map(|(here, rest)| here.first(rest, from, &covers))
    }
}

impl Here {
    fn first(&self, rest: &str, from: usize, covers: &impl Fn(usize) -> bool) -> Option<usize> {
        let mut best = first_of(&self.unmarked, from, None, covers);
        for list in self.marked(rest) {
            best = first_of(list, from, best, covers).or(best);
        }
        best
    }

    /// The lists whose mark is somewhere in `rest`, each once however often it is: a path is the guest's choice.
    fn marked<'a>(&'a self, rest: &str) -> Vec<&'a Ranks> {
        let mut lists = Vec::new();
        if self.by_name.is_empty() && self.by_extension.is_empty() {
            return lists;
        }
        for component in rest.split('/') {
            lists.extend(self.by_name.get(component));
            if !self.by_extension.is_empty()
                && let Some((_, extension)) = component.rsplit_once('.')
            {
                lists.extend(self.by_extension.get(extension));
            }
        }
        // No rank is in two lists and none is empty, so the first rank tells them apart.
        lists.sort_unstable_by_key(|list| list.first());
        lists.dedup_by_key(|list| list.first());
        lists
    }
}

/// The first rank of `list` from `from` on that covers, if it comes before `best`.
fn first_of(list: &[usize], from: usize, best: Option<usize>, covers: &impl Fn(usize) -> bool) -> Option<usize> {
    let start = list.partition_point(|rank| *rank < from);
    let before = |rank: &&usize| best.is_none_or(|best| **rank < best);
    list.get(start..)?.iter().take_while(before).find(|rank| covers(**rank)).copied()
}
