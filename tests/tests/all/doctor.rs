//! `cofferdam doctor` on this machine, and on machines that are made to refuse: it must name who refuses.

use cofferdam_tests::command::{binary, cofferdam, text};
use cofferdam_tests::observe::{cgroups_of, within};
use cofferdam_tests::skip;
use serde_json::Value;
use std::process::{Command, Output};
use std::time::Duration;

/// Runs a program under a seccomp filter: call's number, errno or `kill`, bits of the first argument (0: always).
const UNDER_A_FILTER: &str = r#"
import ctypes, os, struct, sys
number, action, mask, command = int(sys.argv[1]), sys.argv[2], int(sys.argv[3], 0), sys.argv[4:]
libc = ctypes.CDLL(None, use_errno=True)
answer = 0x80000000 if action == 'kill' else 0x00050000 | int(action)
instruction = lambda code, jt, jf, k: struct.pack('HBBI', code, jt, jf, k)
program = instruction(0x20, 0, 0, 0) + instruction(0x15, 0, 3 if mask else 1, number)
if mask: program += instruction(0x20, 0, 0, 16) + instruction(0x45, 0, 1, mask)
program += instruction(0x06, 0, 0, answer) + instruction(0x06, 0, 0, 0x7fff0000)
held = ctypes.create_string_buffer(program)
filter = ctypes.create_string_buffer(struct.pack('HxxxxxxQ', len(program) // 8, ctypes.addressof(held)))
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, filter, 0, 0) == 0, ctypes.get_errno()
os.execv(command[0], command)
"#;

/// clone(2), mount(2), memfd_create(2) and landlock_create_ruleset(2); EPERM and ENOSYS; `CLONE_NEWUSER`.
#[cfg(target_arch = "x86_64")]
const CALLS: [&str; 4] = ["56", "165", "319", "444"];
#[cfg(not(target_arch = "x86_64"))]
const CALLS: [&str; 4] = ["220", "40", "279", "444"];
const EPERM: &str = "1";
const ENOSYS: &str = "38";
const NEW_USER: &str = "0x10000000";

fn object(output: &Output) -> Value {
    let printed = text(&output.stdout);
    serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{printed}\n{}", text(&output.stderr)))
}

fn primitive<'a>(object: &'a Value, name: &str) -> &'a Value {
    object["primitives"].as_array().unwrap().iter().find(|found| found["name"] == name).unwrap()
}

/// `doctor --json` started by a shell line of which `$0` is the command; none where namespaces cannot be had for it.
fn inside(unshare: &[&str], line: &str) -> Option<Output> {
    skip::program("unshare")?;
    if !Command::new("unshare").args(unshare).arg("true").status().unwrap().success() {
        skip::skipped("unshare cannot make such namespaces here");
        return None;
    }
    Some(Command::new("unshare").args(unshare).args(["sh", "-c", line]).arg(binary()).output().unwrap())
}

fn filtered(call: &str, action: &str, mask: &str) -> Option<Output> {
    let python = skip::program("python3")?;
    let mut command = Command::new(python);
    command.args(["-c", UNDER_A_FILTER, call, action, mask]).arg(binary()).args(["doctor", "--json"]);
    Some(command.output().unwrap())
}

fn assert_layer(output: &Output, name: &str, layer: &str, in_the_reason: &str) {
    let found = object(output);
    let primitive = primitive(&found, name);
    // What only namespaces need leaves the tier without them, which is as good here as its own trial run says.
    // A call that ends whoever makes it is not tried a second time.
    let deadly = primitive["errno"].is_null();
    let needed_always = deadly || ["memory_file", "landlock", "seccomp_filter"].contains(&name);
    let tier = if needed_always { "none" } else { "landlock" };
    assert_eq!((found["tier"].as_str(), output.status.code()), (Some(tier), Some(1)), "{found}");
    assert_eq!(primitive["works"], false, "{primitive}");
    assert_eq!(primitive["layer"], layer, "{primitive}");
    assert!(primitive["reason"].as_str().unwrap().contains(in_the_reason), "{primitive}");
    assert!(!primitive["fix"].as_str().unwrap().is_empty(), "{primitive}");
    assert_eq!(found["run"]["works"], !needed_always, "{found}");
}

#[test]
fn here_every_needed_primitive_works_and_the_exit_code_says_so() {
    let output = cofferdam().args(["doctor", "--json"]).output().unwrap();
    let found = object(&output);
    assert_eq!((found["tier"].as_str(), output.status.code()), (Some("full"), Some(0)), "{found}");
    assert_eq!(found["run"]["works"], true);
    let primitives = found["primitives"].as_array().unwrap();
    assert!(primitives.iter().filter(|found| found["required"] == true).all(|found| found["works"] == true), "{found}");
    assert!(primitive(&found, "landlock")["detail"].as_str().unwrap().starts_with("ABI "));
    let cgroup = primitive(&found, "cgroup");
    // What is missing for an ordinary user is said with its reason; for root nothing is missing on this machine.
    assert!(cgroup["works"] == true || cgroup["layer"] == "permission", "{cgroup}");
}

#[test]
fn the_first_line_is_the_tier_and_what_it_means() {
    let output = cofferdam().arg("doctor").output().unwrap();
    let printed = text(&output.stdout);
    let first = printed.lines().next().unwrap();
    assert_eq!(
        first,
        "This machine gives the tier `full`: programs run under namespaces, Landlock and seccomp together."
    );
    assert!(printed.ends_with(" ms\n") || printed.contains("; not held: "), "{printed}");
}

#[test]
fn an_examination_leaves_nothing_behind() {
    let before = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let child = cofferdam().arg("doctor").stdout(std::process::Stdio::null()).spawn().unwrap();
    let pid = child.id();
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(std::fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
    assert!(within(Duration::from_secs(1), || cgroups_of(pid).is_empty()), "left: {:?}", cgroups_of(pid));
}

#[test]
fn a_limit_of_no_user_namespaces_is_named_with_its_setting() {
    let line = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" doctor --json";
    let Some(output) = inside(&["--user", "--map-root-user"], line) else { return };
    assert_layer(&output, "user_namespace", "setting", "user.max_user_namespaces is 0");
    let found = object(&output);
    assert_eq!(primitive(&found, "user_namespace")["errno"], "ENOSPC");
    assert_eq!(primitive(&found, "user_namespace")["fix"], "sysctl -w user.max_user_namespaces=15000");
    assert_eq!(primitive(&found, "network_namespace")["layer"], "setting", "what needs it fails for its reason");
    assert_eq!(primitive(&found, "landlock")["works"], true, "what does not need it is not blamed");
}

#[test]
fn a_limit_of_the_surroundings_is_not_taken_for_our_own() {
    let line =
        "echo 1 > /proc/sys/user/max_user_namespaces && exec unshare --user --map-root-user \"$0\" doctor --json";
    let Some(output) = inside(&["--user", "--map-root-user"], line) else { return };
    assert_layer(&output, "user_namespace", "setting", "in a user namespace around this one");
}

#[test]
fn hidden_parts_of_proc_are_named() {
    let line = "mount --bind /dev/null /proc/cpuinfo && exec \"$0\" doctor --json";
    let Some(output) = inside(&["--user", "--map-root-user", "--mount"], line) else { return };
    assert_layer(&output, "proc_mount", "masked_proc", "/proc/cpuinfo");
    assert_eq!(primitive(&object(&output), "user_namespace")["works"], true);
}

#[test]
fn a_user_without_a_number_is_named() {
    let Some(output) = inside(&["--user"], "exec \"$0\" doctor --json") else { return };
    assert_layer(&output, "user_namespace", "unmapped_user", "has no number");
}

#[test]
fn a_changed_root_folder_is_named() {
    let line = "mount --rbind / /mnt && exec chroot /mnt \"$0\" doctor --json";
    let Some(output) = inside(&["--user", "--map-root-user", "--mount"], line) else { return };
    assert_layer(&output, "user_namespace", "chroot", "chroot");
}

#[test]
fn a_seccomp_filter_is_told_from_the_kernel_itself() {
    let [clone, mount, memory, landlock] = CALLS;
    let table = [
        (clone, EPERM, NEW_USER, "user_namespace"),
        (mount, EPERM, "0", "mount_namespace"),
        (memory, EPERM, "0", "memory_file"),
        (landlock, ENOSYS, "0", "landlock"),
    ];
    for (call, errno, mask, name) in table {
        let Some(output) = filtered(call, errno, mask) else { return };
        assert_layer(&output, name, "seccomp_filter", "before the kernel sees it");
        assert_eq!(object(&output)["seccomp_filtered"], true);
    }
}

#[test]
fn a_filter_that_kills_does_not_kill_the_examination() {
    let [clone, mount, memory, landlock] = CALLS;
    let table = [
        (clone, NEW_USER, "user_namespace"),
        (mount, "0", "mount_namespace"),
        (memory, "0", "memory_file"),
        (landlock, "0", "landlock"),
    ];
    for (call, mask, name) in table {
        let Some(output) = filtered(call, "kill", mask) else { return };
        assert_layer(&output, name, "seccomp_filter", "kills at");
        assert_eq!(primitive(&object(&output), name)["errno"], Value::Null);
    }
}
