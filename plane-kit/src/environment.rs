//! A program's environment while it is put together.

use std::collections::BTreeMap;

/// Where programs are looked for when nothing says where.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables by name. It starts empty, and nothing of the host crosses by itself.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

/// Values stay out of logs.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").field("names", &self.variables.keys().collect::<Vec<_>>()).finish()
    }
}

impl Environment {
    /// The environment that a policy or a host has set, whatever its names.
    pub fn set(variables: BTreeMap<String, String>) -> Self {
        Self { variables }
    }

    /// Where bare names are looked up. A `PATH` is always there: the default one when none was named.
    pub fn search_path(&self) -> &str {
        self.variables.get("PATH").map_or(DEFAULT_PATH, String::as_str)
    }

    /// As execve(2) takes it: `NAME=VALUE`.
    pub fn entries(&self) -> impl Iterator<Item = String> {
        let path = (!self.variables.contains_key("PATH")).then(|| format!("PATH={DEFAULT_PATH}"));
        self.variables.iter().map(|(name, value)| format!("{name}={value}")).chain(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn c2_an_environment_with_nothing_named_holds_a_path_and_nothing_else() {
        let entries: Vec<_> = Environment::default().entries().collect();
        assert_eq!(entries, [format!("PATH={DEFAULT_PATH}")]);
    }

    #[test]
    fn c2_what_a_policy_sets_crosses_whatever_its_name() {
        let set = Environment::set(map(&[("LD_PRELOAD", "/x.so")]));
        assert!(set.entries().any(|entry| entry == "LD_PRELOAD=/x.so"));
    }

    #[test]
    fn values_are_in_no_debug_text() {
        let environment = Environment::set(map(&[("TOKEN", "hush")]));
        assert!(!format!("{environment:?}").contains("hush"));
    }
}
