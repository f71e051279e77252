//! The environment starts empty; what a request names crosses, and nothing else.

use crate::host::{Host, profile};
use cofferdam_plane_kit::environment::DEFAULT_PATH;
use std::collections::BTreeMap;

fn printed(variables: &[(&str, &str)]) -> Vec<String> {
    let host = Host::new(profile());
    let mut request = host.request("/usr/bin/env", &[]);
    let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    request.environment = owned.collect::<BTreeMap<_, _>>();
    let mut run = host.start(request).unwrap();
    assert!(run.end().cause.success());
    run.text().lines().map(str::to_owned).collect()
}

#[test]
fn c2_of_the_hosts_environment_nothing_crosses() {
    assert!(std::env::vars().count() > 1, "the test's own environment must hold something that could cross");
    assert_eq!(printed(&[]), [format!("PATH={DEFAULT_PATH}")]);
}

#[test]
fn c2_what_a_request_names_crosses_as_it_is() {
    let variables = printed(&[("PATH", "/bin"), ("NAME", "a value"), ("NODE_OPTIONS", "--by-the-policy")]);
    assert_eq!(variables, ["NAME=a value", "NODE_OPTIONS=--by-the-policy", "PATH=/bin"]);
}
