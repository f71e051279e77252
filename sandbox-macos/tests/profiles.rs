//! The profiles of the built-in policies and for hostile paths: as they are written (snapshots), and what they allow (the model).

#![expect(clippy::unwrap_used, reason = "a test that meets an unexpected error must fail loudly")]

use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::profile::{CommandRule, ExecutionProfile};
use cofferdam_bridge::verdict::RuleRef;
use cofferdam_kernel::policy::{NoFiles, Placeholders, Policy};
use cofferdam_sandbox_macos::model::{Model, Request, Subject, VnodeType};
use cofferdam_sandbox_macos::profile::{EveryMac, Names, SeatbeltProfile, Setting, compile};
use std::collections::BTreeMap;

const PRIVATE: &str = "/private/var/folders/xy/T/cofferdam-1";

/// A Mac on which one workspace exists.
struct WithWorkspace<'a>(&'a str);

impl Names for WithWorkspace<'_> {
    fn real_path(&self, path: &str) -> Option<String> {
        let above = path == "/Users"
            || path == "/Users/u"
            || path == self.0
            || PRIVATE.starts_with(&format!("{path}/"))
            || path == PRIVATE;
        if above { Some(path.to_owned()) } else { EveryMac.real_path(path) }
    }
}

fn compiled(policy: &Policy, workspace: &str) -> ExecutionProfile {
    let mut places = Placeholders::default();
    places.workspace = Some(workspace.to_owned());
    places.home = Some("/Users/u".to_owned());
    places.user = Some("u".to_owned());
    policy.compile(&places, &BTreeMap::new()).unwrap().profile
}

fn seatbelt(policy: &Policy, workspace: &str) -> SeatbeltProfile {
    let names = WithWorkspace(workspace);
    let mut setting = Setting::new(&names);
    setting.private_folder = Some(PRIVATE);
    compile(&compiled(policy, workspace), &setting).unwrap()
}

fn builtin(name: &str) -> Model {
    Model::parse(&seatbelt(&Policy::builtin(name).unwrap(), "/Users/u/project").text).unwrap()
}

fn parsed(lines: &str) -> Policy {
    Policy::parse(&format!("version = 1\n{lines}"), "test", &NoFiles).unwrap()
}

fn reads(model: &Model, path: &str) -> bool {
    model.allows(&Request::file("file-read-data", path)).unwrap()
}

fn writes(model: &Model, path: &str) -> bool {
    model.allows(&Request::file("file-write-data", path)).unwrap()
}

#[test]
fn the_profiles_of_the_built_in_policies() {
    for name in ["strict", "dev", "offline-build"] {
        let profile = seatbelt(&Policy::builtin(name).unwrap(), "/Users/u/project");
        Model::parse(&profile.text).unwrap();
        insta::assert_snapshot!(name, profile.text);
    }
}

#[test]
fn strict_shows_the_system_and_the_private_folder_and_nothing_else() {
    let model = builtin("strict");
    assert!(
        reads(&model, "/usr/bin/env") && reads(&model, "/System/Library/x") && reads(&model, "/private/etc/passwd")
    );
    assert!(writes(&model, &format!("{PRIVATE}/x")));
    for path in [
        "/Users/u/project/a",
        "/Users/u/.ssh/id",
        "/private/tmp/x",
        "/Library/Keychains/x",
        "/private/etc/master.passwd",
    ] {
        assert!(!reads(&model, path) && !writes(&model, path), "{path}");
    }
    assert!(!writes(&model, "/usr/x"));
}

#[test]
fn dev_writes_the_workspace_but_not_what_tools_run_later_however_it_is_spelt() {
    let model = builtin("dev");
    assert!(writes(&model, "/Users/u/project/src/main.rs") && reads(&model, "/Users/u/project/.git/hooks/x"));
    for path in [
        "/Users/u/project/.git/hooks/pre-commit",
        "/Users/u/project/.GIT/HOOKS/pre-commit",
        "/Users/u/project/.git/hoo\u{212a}s/pre-commit",
        "/Users/u/project/deep/er/.git/config",
        "/Users/u/project/a\nb/.envrc",
        "/Users/u/project/.con\u{fb01}g/fish/x",
        &format!("{PRIVATE}/repo/.git/hooks/x"),
    ] {
        assert!(!writes(&model, path), "{path}");
    }
    assert!(!reads(&model, "/Users/u/.ssh/id_rsa") && !reads(&model, "/Users/u/.aws/credentials"));
}

#[test]
fn names_on_the_way_to_what_is_protected_stay_where_they_are() {
    let model = builtin("dev");
    let may = |operation: &str, path: &str, kind| model.allows(&Request::typed_file(operation, path, kind)).unwrap();
    for path in
        ["/Users/u/project", "/Users/u/project/.git", "/Users/u/project/sub/.git", "/Users/u/project/.GitHub", PRIVATE]
    {
        for kind in [VnodeType::Directory, VnodeType::Symlink, VnodeType::RegularFile] {
            assert!(!may("file-write-unlink", path, kind) && !may("file-write-create", path, kind), "{path}");
        }
    }
    for path in ["/Users/u/project/src", "/Users/u/project/.git/index.lock", "/Users/u/project/a/b"] {
        assert!(
            may("file-write-unlink", path, VnodeType::Directory)
                && may("file-write-create", path, VnodeType::Directory),
            "{path}"
        );
    }
    assert!(!may("file-link", "/Users/u/project/a", VnodeType::RegularFile));
    // A folder between `.git/worktrees` and what is protected in it is named by a wildcard.
    let between = "/Users/u/project/.git/worktrees/one";
    assert!(
        !may("file-write-unlink", between, VnodeType::Directory)
            && may("file-write-create", between, VnodeType::RegularFile)
    );
}

#[test]
fn nothing_is_reached_by_the_network_nor_by_services() {
    for name in ["strict", "dev", "offline-build"] {
        let model = builtin(name);
        let asks = |operation: &str, subject| model.allows(&Request::about(operation, subject)).unwrap();
        for host in ["localhost", "192.0.2.1"] {
            assert!(!asks("network-outbound", Subject::Address(host.to_owned(), 443)), "{name}");
            assert!(!asks("network-bind", Subject::Address(host.to_owned(), 8080)), "{name}");
        }
        for path in ["/private/var/run/mDNSResponder", "/private/var/run/docker.sock", "/Users/u/project/s"] {
            assert!(!asks("network-outbound", Subject::SocketPath(path.to_owned())), "{name} {path}");
        }
        assert!(asks("network-outbound", Subject::SocketPath(format!("{PRIVATE}/s"))), "{name}");
        for service in [
            "com.apple.SecurityServer",
            "com.apple.coreservices.launchservicesd",
            "com.apple.pasteboard.1",
            "com.apple.tccd",
        ] {
            assert!(!asks("mach-lookup", Subject::Named(service.to_owned())), "{name} {service}");
        }
        for fact in ["kern.procargs2", "kern.proc.all", "net.inet.tcp.pcblist"] {
            assert!(!asks("sysctl-read", Subject::Named(fact.to_owned())), "{name} {fact}");
        }
        assert!(!asks("signal", Subject::Process { same_sandbox: false }), "{name}");
        assert!(
            !asks("iokit-open", Subject::Nothing) && !asks("mach-register", Subject::Named("x".to_owned())),
            "{name}"
        );
    }
}

#[test]
fn the_proxy_is_the_only_address_of_an_allowlist_and_inherit_reaches_no_socket_of_a_service() {
    let profile = |mode: &str| {
        let lines = format!(
            "[network]\nmode = \"{mode}\"\n{}",
            if mode == "allowlist" { "allow = [\"a.example:443\"]\n" } else { "" }
        );
        let mut setting = Setting::new(&EveryMac);
        setting.proxy_port = Some(3128);
        Model::parse(&compile(&compiled(&parsed(&lines), "/w"), &setting).unwrap().text).unwrap()
    };
    let connects = |model: &Model, host: &str, port| {
        model.allows(&Request::about("network-outbound", Subject::Address(host.to_owned(), port))).unwrap()
    };
    let listed = profile("allowlist");
    assert!(connects(&listed, "localhost", 3128));
    assert!(!connects(&listed, "localhost", 3129) && !connects(&listed, "192.0.2.1", 3128));
    let inherited = profile("inherit");
    assert!(connects(&inherited, "192.0.2.1", 443));
    let socket = Subject::SocketPath("/private/var/run/docker.sock".to_owned());
    assert!(!inherited.allows(&Request::about("network-outbound", socket)).unwrap());
}

/// Paths that look like rules, like expressions, or like other paths.
fn hostile() -> Vec<(&'static str, String)> {
    vec![
        ("quotes", "/Users/u/a\")(allow default)(\"".to_owned()),
        ("parentheses", "/Users/u/a) (allow file-write* (subpath \"/\")".to_owned()),
        ("backslashes", "/Users/u/a\\\\\"\\".to_owned()),
        ("newlines", "/Users/u/a\n(allow default)\n;".to_owned()),
        ("expression", "/Users/u/a.*[^/]+(b|c){2}$".to_owned()),
        ("composed", "/Users/u/caf\u{e9}".to_owned()),
        ("decomposed", "/Users/u/cafe\u{301}".to_owned()),
        ("right_to_left", "/Users/u/\u{202e}gpj.exe".to_owned()),
        ("long", format!("/Users/u/{}", vec!["abcdefgh"; 100].join("/"))),
    ]
}

#[test]
fn no_path_of_a_workspace_injects_a_rule() {
    for (name, workspace) in hostile() {
        let profile = seatbelt(&parsed("[filesystem]\nwrite = [\"literal:{workspace}\"]\n"), &workspace);
        let model = Model::parse(&profile.text).unwrap();
        assert!(writes(&model, &workspace) && writes(&model, &format!("{workspace}/x")), "{name}");
        for path in ["/private/etc/passwd", "/Users/u/other", "/Users/u/a", "/Users/u", "/Users/u/ab"] {
            assert!(!reads(&model, path) && !writes(&model, path), "{name} {path}");
        }
        assert!(!writes(&model, &format!("{workspace}/sub/.envrc")), "{name}");
        let files = profile.text.split("; Files, least telling").nth(1).unwrap_or_default();
        let shown = files
            .lines()
            .take(3)
            .chain(files.lines().filter(|line| line.contains(".envrc") || line.contains("[eE][nN][vV]")));
        insta::assert_snapshot!(format!("hostile_{name}"), shown.collect::<Vec<_>>().join("\n"));
    }
}

#[test]
fn a_name_beyond_ascii_that_is_not_there_yet_cannot_be_taken_away_for_sure_and_is_refused() {
    let profile =
        compiled(&parsed("[filesystem]\nwrite = [\"{workspace}\"]\ndeny = [\"{workspace}/caf\u{e9}\"]\n"), "/w");
    let error = compile(&profile, &Setting::new(&EveryMac)).unwrap_err();
    assert_eq!(error.code, ErrorCode::UnsupportedBackendFeature);
    assert!(error.message.contains("beyond ASCII"), "{}", error.message);
    // As it exists, the volume gives its name in one way.
    let names = WithWorkspace("/w/caf\u{e9}");
    assert!(compile(&profile, &Setting::new(&names)).is_err(), "its folder is not there");
}

#[test]
fn programs_by_the_longest_prefix_deny_at_a_tie() {
    let lines = "[commands]\nallow = [\"/usr/bin\", \"/tmp/t\"]\ndeny = [\"/usr/bin/sudo\"]\n";
    let mut profile = compiled(&parsed(lines), "/w");
    // Policies with such a pair are refused when they are loaded; profiles may come from elsewhere.
    for list in [&mut profile.commands.allow, &mut profile.commands.deny] {
        list.push(CommandRule::new("/opt/x", RuleRef::new("test", None, "/opt/x")));
    }
    let model = Model::parse(&compile(&profile, &Setting::new(&EveryMac)).unwrap().text).unwrap();
    let executes = |path: &str| model.allows(&Request::file("process-exec", path)).unwrap();
    assert!(executes("/usr/bin/env") && executes("/usr/bin/sudoedit") && executes("/private/tmp/t"));
    assert!(!executes("/usr/bin/sudo") && !executes("/usr/bin/SUDO") && !executes("/opt/x") && !executes("/bin/sh"));
    assert!(!executes("/tmp/t"), "the kernel asks about the real path");
}

/// A Mac on which a run has planted a link in its workspace.
struct Planted;

impl Names for Planted {
    fn real_path(&self, path: &str) -> Option<String> {
        match path {
            "/w" | "/Users" | "/Users/u" | "/w/real" => Some(path.to_owned()),
            "/w/cache" => Some("/Users/u".to_owned()),
            "/w/own" => Some("/w/real".to_owned()),
            _ => EveryMac.real_path(path),
        }
    }
}

#[test]
fn fs_06_a_planted_link_gives_nothing_new() {
    let policy = |line: &str| parsed(&format!("[filesystem]\nwrite = [\"/w\"]\n{line}\n"));
    for line in ["read = [\"/w/cache\"]", "read = [\"/w/cache/sub/*\"]", "read = [\"/w/cache/none\"]"] {
        let error = compile(&compiled(&policy(line), "/w"), &Setting::new(&Planted)).unwrap_err();
        assert_eq!(error.code, ErrorCode::PolicyInvalid, "{line}");
        assert!(error.message.contains("/w/cache"), "{}", error.message);
    }
    // What it leads to is given anyway.
    compile(&compiled(&policy("read = [\"/w/own\"]"), "/w"), &Setting::new(&Planted)).unwrap();
}

#[test]
fn what_the_language_cannot_hold_is_refused_with_what_to_write() {
    for (lines, fix) in [
        ("[commands]\ncalls = \"no-exec\"\n", "calls = \"usual\""),
        ("[commands]\ncalls = \"compute\"\n", "calls = \"usual\""),
        ("[filesystem]\nwrite = [\"/w\"]\nchanges = \"overlay\"\n", "changes = \"direct\""),
        ("[network]\nmode = \"allowlist\"\nallow = [\"a.example:443\"]\n", "mode = \"deny\""),
    ] {
        let error = compile(&compiled(&parsed(lines), "/w"), &Setting::new(&EveryMac)).unwrap_err();
        assert_eq!(error.code, ErrorCode::UnsupportedBackendFeature, "{lines}");
        assert!(error.message.contains(fix), "{}", error.message);
    }
    let mut listening = compiled(&parsed(""), "/w");
    listening.network.listen.push(8080);
    assert!(compile(&listening, &Setting::new(&EveryMac)).is_err());
}
