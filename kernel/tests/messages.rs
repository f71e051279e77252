//! What a person reads whose policy is wrong: where, what, and what to write instead.

use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_kernel::policy::{NoFiles, Placeholders, Policy};
use std::collections::BTreeMap;

const WRONG: [&str; 40] = [
    "",
    "version = 2",
    "version = \"1\"",
    "version = 1\n[filesystem",
    "version = 1\n[filesystem]\nraed = [\"/a\"]",
    "version = 1\n[files]\nread = [\"/a\"]",
    "version = 1\n[filesystem]\nread = \"/a\"",
    "version = 1\n[filesystem]\nread = [5]",
    "version = 1\n[filesystem]\nread = [\"\"]",
    "version = 1\n[filesystem]\nread = [\"relative/path\"]",
    "version = 1\n[filesystem]\nread = [\"~/x\"]",
    "version = 1\n[filesystem]\nread = [\"/a/../b\"]",
    "version = 1\n[filesystem]\nread = [\"{nowhere}/x\"]",
    "version = 1\n[filesystem]\nread = [\"{cwd}/x\"]",
    "version = 1\n[filesystem]\nread = [\"/a/{home\"]",
    "version = 1\n[filesystem]\nread = [\"/a/[b\"]",
    "version = 1\n[filesystem]\nread = [\"/a/b**c\"]",
    "version = 1\n[filesystem]\nread = [\"/a\"]\nread = [\"/b\"]",
    "version = 1\n[filesystem]\nread = [\"/a\"]\ndeny = [\"/a/\"]",
    "version = 1\n[filesystem]\ndeny = [\"{workspace}\"]",
    "version = 1\n[filesystem]\nunprotect = [\".envrcc\"]",
    "version = 1\n[filesystem]\nchanges = \"copy\"",
    "version = 1\nextends = \"devv\"",
    "version = 1\ninclude = [\"pyhton\"]",
    "version = 1\n[network]\nmode = \"open\"",
    "version = 1\n[network]\nmode = \"allowlist\"\nallow = [\"example.com\"]",
    "version = 1\n[network]\nmode = \"allowlist\"\nallow = [\"example.com:99999\"]",
    "version = 1\n[network]\nmode = \"allowlist\"\nallow = [\"example.com:9-1\"]",
    "version = 1\n[network]\nallow = [\"example.com:443\"]",
    "version = 1\n[network]\nlisten = [0]",
    "version = 1\n[commands]\nallow = [\"/usr/*\"]",
    "version = 1\n[commands]\nallow = [\"/usr/bin\"]\ndeny = [\"/usr/bin\"]",
    "version = 1\n[environment]\npass = [\"LD_PRELOAD\"]",
    "version = 1\n[environment]\nset = { \"A=B\" = \"x\" }",
    "version = 1\n[limits]\nwall = \"10\"",
    "version = 1\n[limits]\nmemory = \"lots\"",
    "version = 1\n[limits]\nprocesses = 0",
    "version = 1\n[isolation]\nrequire = \"maximum\"",
    "{\"version\": 1, \"filesystem\": {\"read\": [\"/a\"], \"read\": [\"/b\"]}}",
    "{\"version\": 1,}",
];

#[test]
fn every_mistake_is_told_with_its_place_and_what_to_write() {
    let mut places = Placeholders::default();
    places.workspace = Some("/w".to_owned());
    places.home = Some("/home/u".to_owned());
    let mut told = String::new();
    for text in WRONG {
        let outcome =
            Policy::parse(text, "p.toml", &NoFiles).and_then(|policy| policy.compile(&places, &BTreeMap::new()));
        let error = outcome.map(drop).expect_err(text);
        assert!(matches!(error.code, ErrorCode::PolicyInvalid | ErrorCode::PolicyNotFound), "{text}: {error:?}");
        told.push_str(&format!("{}\n    {error}\n", text.replace('\n', " ⏎ ")));
    }
    insta::assert_snapshot!(told);
}

#[test]
fn values_of_variables_stand_in_no_error_and_no_debug() {
    let text = "version = 1\n[environment]\nset = { TOKEN = \"SECRET-VALUE\" }\n";
    let policy = Policy::parse(text, "p.toml", &NoFiles).unwrap();
    let compiled = policy.compile(&Placeholders::default(), &BTreeMap::new()).unwrap();
    assert!(!format!("{policy:?} {compiled:?}").contains("SECRET-VALUE"));
    let wrong = Policy::parse(&format!("{text}[limits]\nwall = 5\n"), "p.toml", &NoFiles).unwrap_err();
    assert!(!format!("{wrong:?}").contains("SECRET-VALUE"));
}
