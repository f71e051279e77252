//! What of the host's environment may cross to a program.

use cofferdam_bridge::environment::loads_code;
use std::collections::BTreeMap;

/// Where programs are looked for when nothing says where.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program's environment while it is put together. It starts empty, and nothing crosses but what is named.
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

    /// Takes the variable `name` from `host`, where it is there. One that loads code does not cross.
    #[must_use]
    pub fn pass(mut self, name: &str, host: &BTreeMap<String, String>) -> Self {
        if let Some(value) = host.get(name).filter(|_| !loads_code(name)) {
            self.variables.insert(name.to_owned(), value.clone());
        }
        self
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
    fn c2_what_loads_code_crosses_when_set_and_never_when_passed() {
        let host = map(&[("LD_PRELOAD", "/x.so"), ("NODE_OPTIONS", "-r x"), ("GIT_DIR", "/x"), ("LANG", "C")]);
        let mut passed = Environment::default();
        for name in host.keys() {
            passed = passed.pass(name, &host);
        }
        assert_eq!(passed.variables, map(&[("LANG", "C")]));
        let set = Environment::set(host);
        assert!(set.entries().any(|entry| entry == "LD_PRELOAD=/x.so"));
    }

    #[test]
    fn values_are_in_no_debug_text() {
        let environment = Environment::set(map(&[("TOKEN", "hush")]));
        assert!(!format!("{environment:?}").contains("hush"));
    }
}
