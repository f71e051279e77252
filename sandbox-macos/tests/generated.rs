//! Generated rules and accesses: what the profile allows, as the model evaluates it, is what the decision function says.
//!
//! `COFFERDAM_MEANING_CASES` sets how many; `cargo xtask meaning --cases 100000` does.

#![expect(clippy::unwrap_used, reason = "a test that meets an unexpected error must fail loudly")]

use cofferdam_bridge::decide::{FileAccess, FilesystemRules};
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::path_pattern::CompiledPattern;
use cofferdam_bridge::profile::{ExecutionProfile, PathEffect, PathPattern, PathRule};
use cofferdam_bridge::verdict::RuleRef;
use cofferdam_sandbox_macos::model::{Model, Request, VnodeType};
use cofferdam_sandbox_macos::profile::{EveryMac, Setting, Spelling, compile};
use proptest::prelude::*;

const PRIVATE: &str = "/private/var/folders/p/run";

/// Links that every Mac has in its root.
const LINKS: [&str; 3] = ["/tmp", "/var", "/etc"];

/// Names that meet, with and without wildcards, in upper and lower case.
fn names() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "A", "ab", ".git", "hooks", "x.key", "w", "tmp", "é"])
}

fn components() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a", "b", "ab", ".git", "hooks", "w", "tmp", "*", "**", "*.key", "?", "[ab]", "[!a]", "a*", "*b*", r"\*",
        "x.key",
    ])
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(names(), 1..6).prop_map(|names| format!("/{}", names.join("/")))
}

fn pattern() -> impl Strategy<Value = PathPattern> {
    prop_oneof![
        path().prop_map(PathPattern::Literal),
        prop::collection::vec(components(), 1..6).prop_map(|parts| PathPattern::Glob(format!("/{}", parts.join("/")))),
    ]
}

fn effect() -> impl Strategy<Value = PathEffect> {
    prop::sample::select(vec![
        PathEffect::Read,
        PathEffect::Write,
        PathEffect::Write,
        PathEffect::Protect,
        PathEffect::Deny,
    ])
}

fn profile(rules: &[(PathEffect, PathPattern)]) -> ExecutionProfile {
    let mut profile = ExecutionProfile::closed("generated");
    for (effect, pattern) in rules {
        let rule = RuleRef::new("generated", None, format!("{effect:?} {pattern:?}"));
        profile.filesystem.rules.push(PathRule::new(*effect, pattern.clone(), rule));
    }
    profile
}

/// Where a path leads on every Mac, as the kernel would ask about it.
fn real(path: &str) -> String {
    let link = LINKS.iter().find(|link| path == **link || path.starts_with(&format!("{link}/")));
    link.map_or_else(|| path.to_owned(), |_| format!("/private{path}"))
}

fn is_allowed(rules: &FilesystemRules, path: &str, access: FileAccess) -> bool {
    rules.decide(path, access).unwrap().allowed
}

/// All spellings of a path that a volume takes for the same, as far as ASCII letters go: three of them.
fn spellings(path: &str) -> [String; 3] {
    [path.to_owned(), path.to_uppercase(), path.replace('k', "\u{212a}")]
}

fn cases() -> u32 {
    std::env::var("COFFERDAM_MEANING_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(2000)
}

fn check(rules: &[(PathEffect, PathPattern)], paths: &[String], private: bool) -> Result<(), TestCaseError> {
    let profile = profile(rules);
    let policy = FilesystemRules::new(&profile.filesystem).unwrap();
    let mut setting = Setting::new(&EveryMac);
    setting.spelling = Spelling::Exact;
    setting.private_folder = private.then_some(PRIVATE);
    let written = match compile(&profile, &setting) {
        Ok(written) => written,
        // A rule that leads through a link which the guest may replace is refused, and nothing else of what is generated here.
        Err(error) => {
            let link = error.details.get("path").and_then(|path| path.as_str()).unwrap_or_default();
            let writes_root = |pattern: &PathPattern| CompiledPattern::new(pattern).unwrap().matches("/");
            let may_replace =
                rules.iter().any(|(effect, pattern)| *effect == PathEffect::Write && writes_root(pattern));
            prop_assert!(error.code == ErrorCode::PolicyInvalid && LINKS.contains(&link) && may_replace, "{error:?}");
            return Ok(());
        }
    };
    let model = Model::parse(&written.text).map_err(TestCaseError::fail)?;
    let holds = |operation: &str, path: &str, kind| {
        model.allows(&Request::typed_file(operation, path, kind)).map_err(TestCaseError::fail)
    };
    for path in paths {
        let real = real(path);
        for (access, operation) in [(FileAccess::Read, "file-read-data"), (FileAccess::Write, "file-write-data")] {
            let allowed = holds(operation, &real, VnodeType::RegularFile)?;
            let meant = is_allowed(written.files.rules(), &real, access);
            // Beyond ASCII `?` and sets give less and take more.
            prop_assert!(
                allowed == meant || (meant && !path.is_ascii()),
                "{operation} {real}: {allowed}\n{}",
                written.text
            );
            // What the plane holds beyond the policy only ever takes.
            let beyond = is_allowed(&policy, &real, access) || is_allowed(&policy, path, access);
            prop_assert!(!allowed || beyond, "{operation} {path} is not in the policy\n{}", written.text);
        }
        for kind in [VnodeType::RegularFile, VnodeType::Directory, VnodeType::Symlink] {
            let create = holds("file-write-create", &real, kind)?;
            let unlink = holds("file-write-unlink", &real, kind)?;
            let write = holds("file-write-data", &real, kind)?;
            prop_assert!(write || !(create || unlink), "{real} can be made and not written");
        }
        prop_assert!(!holds("file-link", &real, VnodeType::RegularFile)?);
    }
    setting.spelling = Spelling::Folded;
    if let Ok(folded) = compile(&profile, &setting) {
        let model = Model::parse(&folded.text).map_err(TestCaseError::fail)?;
        for path in paths.iter().filter(|path| path.is_ascii()) {
            let real = real(path);
            for (access, operation) in [(FileAccess::Read, "file-read-data"), (FileAccess::Write, "file-write-data")] {
                let denied = written.files.rules().decide(&real, access).unwrap();
                if !matches!(denied.effect, Some(PathEffect::Deny | PathEffect::Protect))
                    || real.starts_with("/private")
                {
                    continue;
                }
                for spelling in spellings(&real) {
                    let allowed = model.allows(&Request::file(operation, &spelling)).map_err(TestCaseError::fail)?;
                    let given = gives_more_tellingly(written.files.rules(), &real, access, &spelling);
                    prop_assert!(!allowed || given, "{operation} {spelling} for {real}\n{}", folded.text);
                }
            }
        }
    }
    Ok(())
}

/// Whether a rule that gives matches this very spelling and is more telling than the one that takes `path` away.
fn gives_more_tellingly(rules: &FilesystemRules, path: &str, access: FileAccess, spelling: &str) -> bool {
    let takes = |effect: PathEffect| {
        effect == PathEffect::Deny || (effect == PathEffect::Protect && access == FileAccess::Write)
    };
    let more_telling = rules.in_order().take_while(|(pattern, effect, _)| !(takes(*effect) && pattern.matches(path)));
    let mut gives = more_telling.filter(|(_, effect, _)| matches!(effect, PathEffect::Read | PathEffect::Write));
    gives.any(|(pattern, _, _)| pattern.matches(spelling))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_profile_allows_what_the_rules_do(
        rules in prop::collection::vec((effect(), pattern()), 0..7),
        paths in prop::collection::vec(path(), 1..8),
        private in any::<bool>(),
    ) {
        check(&rules, &paths, private)?;
    }
}
