//! Values that hang on directories, found by walking a path down once.

use super::name_hash::NameMap;

/// A tree of names with a value at each. The time of a walk depends on the path, not on how many values there are.
///
/// The nodes lie in one list, so that neither dropping nor comparing a tree recurses however deep it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PrefixTree<T> {
    nodes: Vec<Node<T>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node<T> {
    below: NameMap<usize>,
    value: T,
}

impl<T: Default> PrefixTree<T> {
    /// A tree with nothing but its root.
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()] }
    }

    /// The value at a directory, which is made where it is not there yet.
    pub(super) fn at<'a>(&mut self, components: impl IntoIterator<Item = &'a str>) -> &mut T {
        let mut here = 0;
        for component in components {
            let next = self.nodes.len();
            let below = &mut self.nodes[here].below;
            here = match below.get(component) {
                Some(known) => *known,
                None => {
                    below.insert(component.into(), next);
                    self.nodes.push(Node::default());
                    next
                }
            };
        }
        &mut self.nodes[here].value
    }

    /// The values of the root and of each directory on the way to `path`, itself included, as far as the tree goes; each with what of
    /// `path` lies beneath it.
    pub(super) fn along<'tree, 'path>(&'tree self, path: &'path str) -> Vec<(&'tree T, &'path str)> {
        let mut rest = path.strip_prefix('/').unwrap_or(path);
        let mut found = Vec::with_capacity(8);
        let mut here = self.nodes.first();
        while let Some(node) = here {
            found.push((&node.value, rest));
            if rest.is_empty() {
                break;
            }
            let (component, below) = rest.split_once('/').unwrap_or((rest, ""));
            here = node.below.get(component).and_then(|next| self.nodes.get(*next));
            rest = below;
        }
        found
    }
}
