//! Facts of the profile language, each with the public document or shipped profile that says so. The model must agree with them.
//!
//! - [G] fG!, Apple Sandbox Guide v1.0, 2011: <https://reverse.put.as/wp-content/uploads/2011/09/Apple-Sandbox-Guide-v1.0.pdf>
//! - [P] sandbox(7) and sandbox-exec(1) of macOS.
//! - [C] Chromium, `sandbox/mac/README.md` and `sandbox/policy/mac/common.sb`.
//! - [X] OpenAI, codex, `codex-rs/core/src/seatbelt_base_policy.sbpl` and `seatbelt.rs`.
//! - [S] `anthropic-experimental/sandbox-runtime`, `src/sandbox/macos-sandbox-utils.ts`.
//! - [D] D. Nesting, macOS Sandbox SBPL Reference, 2026, gathered from the profiles that macOS ships:
//!   <https://dnesting.com/2026/macos-sandbox-sbpl-reference/>
//! - [H] HackTricks, macOS Sandbox, section Sandbox Profiles.
//! - [M] Mozilla, bug 1379182: the operations that `file-write*` stands for, as libsandbox lists them.

#![expect(clippy::unwrap_used, reason = "a test that meets an unexpected error must fail loudly")]

use cofferdam_sandbox_macos::model::{Model, Request, Subject, VnodeType};
use cofferdam_sandbox_macos::profile::string;

fn model(rules: &str) -> Model {
    Model::parse(&format!("(version 1)\n{rules}")).unwrap()
}

fn allows(rules: &str, request: &Request) -> bool {
    model(rules).allows(request).unwrap()
}

fn reads(rules: &str, path: &str) -> bool {
    allows(rules, &Request::file("file-read-data", path))
}

/// [G] 3; [C]; [H]: a profile begins with its version, and `default` is what happens where no rule applies.
#[test]
fn default_is_for_what_no_rule_is_about() {
    assert!(!reads("(deny default)", "/a"));
    assert!(reads("(allow default)", "/a"));
    assert!(reads("(deny default)(allow file-read* (subpath \"/a\"))", "/a/b"));
    assert!(Model::parse("(deny default)").is_err());
    assert!(Model::parse("(version 2)(deny default)").is_err());
}

/// [S], in the words "later rules take precedence"; [X] writes its denials after what they are taken from.
#[test]
fn of_the_rules_that_match_the_last_decides() {
    let narrowing = "(deny default)(allow file-read* (subpath \"/a\"))(deny file-read* (subpath \"/a/b\"))";
    assert!(reads(narrowing, "/a/c") && !reads(narrowing, "/a/b/c"));
    let widening = "(deny default)(allow file-read* (subpath \"/a\"))(deny file-read* (subpath \"/a/b\"))(allow file-read* (literal \"/a/b/c\"))";
    assert!(reads(widening, "/a/b/c") && !reads(widening, "/a/b/d"));
    let undone = "(deny default)(deny file-read* (literal \"/a/b\"))(allow file-read* (subpath \"/a\"))";
    assert!(reads(undone, "/a/b"));
}

/// [G] 4: a star stands for a family of operations; [M] names those of `file-write*`.
#[test]
fn a_star_stands_for_a_family_of_operations() {
    let rules = "(deny default)(allow file-write* (literal \"/a\"))";
    for operation in [
        "file-write-acl",
        "file-write-create",
        "file-write-data",
        "file-write-flags",
        "file-write-mode",
        "file-write-owner",
        "file-write-setugid",
        "file-write-times",
        "file-write-unlink",
        "file-write-xattr",
    ] {
        assert!(allows(rules, &Request::file(operation, "/a")), "{operation}");
    }
    for operation in ["file-read-data", "file-link", "file-clone", "file-ioctl", "file-map-executable", "process-exec"]
    {
        assert!(!allows(rules, &Request::file(operation, "/a")), "{operation}");
    }
    let reading = "(deny default)(allow file-read* (literal \"/a\"))";
    assert!(allows(reading, &Request::file("file-read-metadata", "/a")));
    assert!(allows(reading, &Request::file("file-read-xattr", "/a")));
}

/// [G] 5, filters; [H]: `literal` is one path, `subpath` it and all beneath.
#[test]
fn a_literal_is_one_path_and_a_subpath_all_beneath() {
    let literal = "(deny default)(allow file-read* (literal \"/a\"))";
    assert!(reads(literal, "/a") && !reads(literal, "/a/b"));
    let subpath = "(deny default)(allow file-read* (subpath \"/a\"))";
    assert!(reads(subpath, "/a") && reads(subpath, "/a/b/c") && !reads(subpath, "/ab"));
    let root = "(deny default)(allow file-read* (subpath \"/\"))";
    assert!(reads(root, "/") && reads(root, "/a"));
}

/// [G] 5; [X] matches `/dev/ttys001` by `^/dev/ttys[0-9]+`; [D] `#"^/Library/.*\.plist$"`: a match may be anywhere unless anchored.
#[test]
fn an_expression_matches_anywhere_unless_it_is_anchored() {
    assert!(reads("(deny default)(allow file-read* (regex #\"^/dev/ttys[0-9]+\"))", "/dev/ttys001"));
    let list = "(deny default)(allow file-read* (regex #\"^/Library/.*\\.plist$\"))";
    assert!(reads(list, "/Library/a/b.plist") && !reads(list, "/Library/a.plists") && !reads(list, "/Library/aplist"));
    assert!(reads("(deny default)(allow file-read* (regex #\"b\"))", "/a/b/c"));
}

/// [S] writes expressions as ordinary strings, as JSON escapes them: a backslash of the expression stands doubled there, and
/// single after `#`.
#[test]
fn a_backslash_is_doubled_in_a_string_and_single_after_a_hash() {
    let ordinary = "(deny default)(allow file-read* (regex \"^/a\\\\.b$\"))";
    let raw = "(deny default)(allow file-read* (regex #\"^/a\\.b$\"))";
    for rules in [ordinary, raw] {
        assert!(reads(rules, "/a.b") && !reads(rules, "/axb"), "{rules}");
    }
}

/// [H]; [X]: several filters of one rule are alternatives.
#[test]
fn filters_of_one_rule_are_alternatives() {
    let rules = "(deny default)(allow file-read* (literal \"/a\") (subpath \"/b\"))";
    assert!(reads(rules, "/a") && reads(rules, "/b/c") && !reads(rules, "/a/c"));
}

/// [X] and Apple's profiles by [D]: several operations in one rule, and a rule without filters is about everything.
#[test]
fn a_rule_may_name_several_operations_and_no_filter() {
    let rules = "(deny default)(allow file-read* file-write-data (literal \"/dev/null\"))(allow process-fork)";
    assert!(reads(rules, "/dev/null") && allows(rules, &Request::file("file-write-data", "/dev/null")));
    assert!(!allows(rules, &Request::file("file-write-unlink", "/dev/null")));
    assert!(allows(rules, &Request::about("process-fork", Subject::Nothing)));
}

/// [G] 5; [X]: `require-all`, `require-any` and `require-not`; `vnode-type` with DIRECTORY, SYMLINK, REGULAR-FILE, CHARACTER-DEVICE.
#[test]
fn filters_are_put_together_and_may_ask_what_a_file_is() {
    let rules = "(deny default)(allow file-write-create (subpath \"/a\"))(deny file-write-create (require-all (subpath \"/a\") \
                 (require-any (vnode-type DIRECTORY) (vnode-type SYMLINK)) (require-not (literal \"/a/b\"))))";
    let makes = |path: &str, kind| allows(rules, &Request::typed_file("file-write-create", path, kind));
    assert!(makes("/a/x", VnodeType::RegularFile) && !makes("/a/x", VnodeType::Directory));
    assert!(!makes("/a/x", VnodeType::Symlink) && makes("/a/b", VnodeType::Directory));
    let device =
        "(deny default)(allow file-write-data (require-all (path \"/dev/null\") (vnode-type CHARACTER-DEVICE)))";
    assert!(allows(device, &Request::typed_file("file-write-data", "/dev/null", VnodeType::CharacterDevice)));
    assert!(!allows(device, &Request::file("file-write-data", "/dev/null")));
}

/// [X] (`root_anchor_denies`), [S] (`generateMoveBlockingRules`): whoever renames a file needs `file-write-unlink` where it was and
/// `file-write-create` where it goes, so a denied `file-write-unlink` of a folder keeps it where it is.
#[test]
fn a_folder_that_cannot_be_unlinked_cannot_be_moved() {
    let rules = "(deny default)(allow file-write* (subpath \"/w\"))\
                 (deny file-write-unlink (require-all (literal \"/w\") (vnode-type DIRECTORY)))";
    let moves = |path: &str| allows(rules, &Request::typed_file("file-write-unlink", path, VnodeType::Directory));
    assert!(!moves("/w") && moves("/w/a"));
}

/// [X]; [C]; [S]: `(target same-sandbox)` for signals and `process-info*`.
#[test]
fn signals_may_be_kept_within_a_run() {
    let rules = "(deny default)(allow signal (target same-sandbox))(allow process-info* (target same-sandbox))";
    for operation in ["signal", "process-info-pidinfo"] {
        for same_sandbox in [true, false] {
            let request = Request::about(operation, Subject::Process { same_sandbox });
            assert_eq!(allows(rules, &request), same_sandbox, "{operation}");
        }
    }
}

/// [X]; [D]: services by `global-name`, facts by `sysctl-name` and `sysctl-name-prefix`.
#[test]
fn services_and_facts_have_names() {
    let rules = "(deny default)(allow mach-lookup (global-name \"a.b\"))(allow sysctl-read (sysctl-name \"hw.ncpu\") \
                 (sysctl-name-prefix \"hw.perflevel\"))";
    let asks = |operation: &str, name: &str| allows(rules, &Request::about(operation, Subject::Named(name.to_owned())));
    assert!(asks("mach-lookup", "a.b") && !asks("mach-lookup", "a.b.c") && !asks("mach-lookup", "a"));
    assert!(
        asks("sysctl-read", "hw.ncpu")
            && asks("sysctl-read", "hw.perflevel0.name")
            && !asks("sysctl-read", "kern.procargs2")
    );
    assert!(!asks("sysctl-write", "hw.ncpu"));
}

/// [G] 5, network filters; [S], [X]: `(remote ip "localhost:PORT")`; the host is `localhost` or `*`, nothing else is taken.
#[test]
fn addresses_are_this_machine_s_or_all() {
    let rules = "(deny default)(allow network-outbound (remote ip \"localhost:3128\"))";
    let connects =
        |host: &str, port| allows(rules, &Request::about("network-outbound", Subject::Address(host.to_owned(), port)));
    assert!(connects("localhost", 3128));
    assert!(!connects("localhost", 3129) && !connects("192.0.2.1", 3128));
    assert!(Model::parse("(version 1)(allow network-outbound (remote ip \"192.0.2.1:80\"))").is_err());
    let all = "(deny default)(allow network-outbound (remote ip))";
    assert!(allows(all, &Request::about("network-outbound", Subject::Address("192.0.2.1".to_owned(), 80))));
    assert!(!allows(all, &Request::about("network-outbound", Subject::SocketPath("/var/run/docker.sock".to_owned()))));
}

/// [S]; [D]: sockets with a path, by `unix-socket`.
#[test]
fn sockets_with_a_path_are_no_addresses() {
    let rules = "(deny default)(allow network-outbound (remote unix-socket (subpath \"/p\")))";
    let connects =
        |path: &str| allows(rules, &Request::about("network-outbound", Subject::SocketPath(path.to_owned())));
    assert!(connects("/p/s") && !connects("/private/var/run/docker.sock"));
    assert!(!allows(rules, &Request::about("network-outbound", Subject::Address("localhost".to_owned(), 1))));
    let family = "(deny default)(allow system-socket (socket-domain AF_UNIX))";
    let makes =
        |domain: &str| allows(family, &Request::about("system-socket", Subject::SocketDomain(domain.to_owned())));
    assert!(makes("AF_UNIX") && !makes("AF_SYSTEM"));
}

/// [X]: `(extension "com.apple.sandbox.pty")` marks terminals that the run has made.
#[test]
fn a_terminal_made_inside_is_told_from_others() {
    let rules = "(deny default)(allow file-read* (require-all (regex #\"^/dev/ttys[0-9]+\") (extension \"com.apple.sandbox.pty\")))";
    for own_terminal in [true, false] {
        let subject = Subject::File { path: "/dev/ttys004".to_owned(), kind: VnodeType::CharacterDevice, own_terminal };
        assert_eq!(allows(rules, &Request::about("file-read-data", subject)), own_terminal);
    }
}

/// [D]: comments begin with `;`, and `string-append` puts text together; [G] 3: the language is Scheme's.
#[test]
fn comments_and_text_in_pieces() {
    let rules = "; (allow default)\n(deny default) ; x\n(allow file-read* (subpath (string-append \"/a\" \"/b\")))";
    assert!(reads(rules, "/a/b/c") && !reads(rules, "/a"));
}

/// What is in a string is no rule, whatever it looks like: the language is read before it means anything.
#[test]
fn no_path_ends_its_string() {
    for path in [
        "/a\")) (allow default) ((\"",
        "/a\\\")(allow default)(\"",
        "/a\n(allow default)",
        "/a;\n)(allow default)",
        "/a#\"^/\"",
        "/(a)",
        "/a\\",
        "/é\u{301}\u{202e}",
    ] {
        let rules = format!("(deny default)(allow file-read* (subpath {}))", string(path));
        assert!(reads(&rules, path) && reads(&rules, &format!("{path}/x")), "{path}");
        assert!(!reads(&rules, "/etc/passwd") && !allows(&rules, &Request::file("file-write-data", path)), "{path}");
    }
}

/// What the model does not know it does not take for anything: a profile with it is not checked.
#[test]
fn what_is_not_known_is_refused() {
    for rules in [
        "(allow file-reed* (literal \"/a\"))",
        "(allow file-read* (litteral \"/a\"))",
        "(allow file-read* (literal \"a\"))",
        "(allow file-read* (subpath \"/a/\"))",
        "(allow file-read* (literal \"/a\" \"/b\"))",
        "(allow file-read* (vnode-type PIPE))",
        "(allow file-read* (require-any))",
        "(allow)",
        "(permit file-read*)",
        "(import \"system.sb\")",
        "(allow file-read* (literal \"/a\")",
        "(allow file-read* (literal \"/a))",
        "(allow file-read* (literal \"/\\x41\"))",
        "file-read*",
    ] {
        assert!(Model::parse(&format!("(version 1){rules}")).is_err(), "{rules}");
    }
    assert!(model("(allow default)").allows(&Request::file("file-everything", "/a")).is_err());
}

/// No text at all makes the model panic, or take long.
#[test]
fn deep_and_long_texts_are_refused_or_read() {
    assert!(Model::parse(&format!("(version 1){}", "(".repeat(100_000))).is_err());
    assert!(Model::parse(&format!("(version 1){}", "(allow default)".repeat(10_000))).is_ok());
}
