//! The audit log of the command: what is recorded, where, by whom it can be reached, and what is found when it is changed.

use cofferdam_tests::audit::{Recorded, assert_whole, shown};
use cofferdam_tests::command::{cofferdam, text};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};
use std::thread;

#[test]
fn r1_r4_r5_a_run_has_a_start_and_an_end_and_its_result_says_where() {
    let own = Recorded::new();
    let output =
        own.command(&["run", "--json", "--workspace", ".", "--", "sh", "-c", "true & wait; exit 3"]).output().unwrap();
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (started, ended) = (own.records("started"), own.records("completed"));
    assert_eq!(result["audit_sequence"], started[0]["seq"]);
    assert_eq!((started.len(), ended.len()), (1, 1));
    let (start, end) = (&started[0]["event"], &ended[0]["event"]);
    assert_eq!((start["program"].as_str(), start["arguments"]["count"].as_u64()), (Some("sh"), Some(2)));
    assert_eq!((start["policy"].as_str(), start["plane"].as_str()), (Some("dev"), Some("linux_native")));
    assert!(start["telemetry"]["memory_available_bytes"].as_u64() > Some(0), "{start}");
    assert!(
        start["enforcement"]["mechanisms"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["mechanism"] == "seccomp" && one["held"] == true)
    );
    assert_eq!((end["started"].clone(), end["cause"]["code"].as_i64()), (started[0]["seq"].clone(), Some(3)));
    assert_eq!(end["usage"]["tasks"], result["usage"]["tasks"]);
    assert!(end["usage"]["tasks"].as_u64() >= Some(2), "the run's own processes: {end}");
    assert_whole(&own);
}

#[test]
fn r5_the_run_s_own_processes_are_told_by_name_and_nobody_else_s() {
    let own = Recorded::new();
    // A process of the test's own that is not the run's, and as long.
    let mut other = Command::new("sleep").arg("61").spawn().unwrap();
    // Each look comes twice as late as the one before, so that one of them falls into the two seconds.
    let line = "sleep 2 & (exec -a x sleep 2) & wait";
    let output = own.command(&["run", "--json", "--workspace", ".", "--", "bash", "-c", line]).output().unwrap();
    other.kill().unwrap();
    other.wait().unwrap();
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let ended = own.records("completed").remove(0);
    let told = ended["event"]["processes"].as_array().unwrap();
    assert_eq!(&Value::from(told.clone()), &result["processes"], "the record tells what the result tells");
    let names: Vec<_> = told.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!((names.iter().filter(|name| **name == "sleep").count(), names[0]), (2, "bash"), "{told:?}");
    assert!(told[0].get("parent").is_none() && told[1]["parent"] == told[0]["pid"], "{told:?}");
    assert!(told.len() as u64 <= ended["event"]["usage"]["tasks"].as_u64().unwrap(), "{ended}");
}

#[test]
fn r3_refusals_are_recorded_with_their_rule_and_found_by_verdict_and_path() {
    let own = Recorded::new();
    let refused = own.command(&["run", "--json", "--", "/opt/nothing"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(125));
    let result: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert!(result["audit_sequence"].as_u64() > Some(0), "{result}");
    let denied = own.audit(&["query", "--json", "--verdict", "deny", "--path", "/opt"]);
    assert_eq!(denied.status.code(), Some(0), "{denied:?}");
    assert!(text(&denied.stdout).contains("command.execute"));
    assert_eq!(own.audit(&["query", "--verdict", "deny", "--path", "/srv"]).status.code(), Some(1), "none of these");
    let config = own.workspace.write(".git/config", "kept");
    let denied = own.shell("echo evil > .git/config");
    assert_eq!(fs::read_to_string(config).unwrap(), "kept", "{denied:?}");
    let decisions = own.records("decision");
    let protected =
        decisions.iter().find(|one| one["event"]["subject"].as_str().is_some_and(|path| path.contains(".git")));
    let event = &protected.unwrap_or_else(|| panic!("{decisions:?}"))["event"];
    assert_eq!(event["verdict"], "deny");
    assert!(event["rule"]["text"].is_string(), "{event}");
    assert_whole(&own);
}

#[test]
fn r9_the_log_is_in_the_state_directory_for_its_user_alone_and_the_environment_names_another() {
    let (state, workspace) = (Scratch::new(), Scratch::new());
    let run = |place: Option<&str>, options: &[&str]| {
        let mut command = cofferdam();
        command.arg("run").args(options).args(["--", "true"]).current_dir(workspace.path());
        command.env("XDG_STATE_HOME", state.path()).env_remove("COFFERDAM_AUDIT");
        command.envs(place.map(|place| ("COFFERDAM_AUDIT", place)));
        assert!(command.output().unwrap().status.success());
    };
    run(Some("off"), &[]);
    run(None, &["--no-audit"]);
    assert!(!state.join("cofferdam/audit").exists(), "nothing is recorded by the user's own word");
    run(None, &[]);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let folder = state.join("cofferdam/audit");
    assert_eq!(mode(&folder), 0o700);
    let file = folder.join("00000000000000000001.jsonl");
    assert_eq!(mode(&file), 0o600);
    let before = fs::read(&file).unwrap();
    let other = shown(&state.join("other/place"));
    run(Some(&other), &[]);
    assert_eq!(fs::read(&file).unwrap(), before);
    assert!(state.join("other/place/00000000000000000001.jsonl").exists());
}

#[test]
fn nothing_secret_is_in_the_log() {
    let own = Recorded::new();
    let mut command = own.command(&["run", "--workspace", ".", "--env", "KEY=SECRET-ENV", "--", "sh", "-c"]);
    command
        .args(["cat; echo SECRET-OUT; echo SECRET-ERR >&2; exit 1 # SECRET-ARG", "SECRET-ARG"])
        .stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"SECRET-IN").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let arguments = ["run", "--", "sh", "-c", "true", "--token", "SECRET-ARG", "PASSWORD=SECRET-ARG", "plain"];
    own.command(&arguments).env("COFFERDAM_AUDIT_ARGUMENTS", "redacted").output().unwrap();
    let log = text(&fs::read(&own.files()[0]).unwrap());
    assert!(log.contains("\"plain\"") && log.contains("redacted"), "arguments are shown where it is asked for");
    assert!(!log.contains("SECRET"), "{log}");
}

#[test]
fn r11_a_log_that_cannot_be_written_or_could_be_by_others_lets_nothing_run() {
    let elsewhere = Scratch::new();
    type Spoil<'a> = (&'a str, Box<dyn Fn(&Recorded) + 'a>);
    let spoils: [Spoil<'_>; 6] = [
        ("a link", Box::new(|own| symlink(elsewhere.path(), own.place()).unwrap())),
        ("a file", Box::new(|own| fs::write(own.place(), "").unwrap())),
        (
            "open to others",
            Box::new(|own| {
                fs::create_dir(own.place()).unwrap();
                fs::set_permissions(own.place(), fs::Permissions::from_mode(0o755)).unwrap();
            }),
        ),
        (
            "a segment that is a link",
            Box::new(|own| {
                assert!(own.shell("true").status.success());
                let (file, aside) = (own.files().remove(0), elsewhere.join("aside"));
                fs::rename(&file, &aside).unwrap();
                symlink(&aside, &file).unwrap();
            }),
        ),
        (
            "a segment of two names",
            Box::new(|own| {
                assert!(own.shell("true").status.success());
                fs::hard_link(own.files().remove(0), own.workspace.join("second")).unwrap();
            }),
        ),
        (
            "a segment that is a FIFO",
            Box::new(|own| {
                assert!(own.shell("true").status.success());
                let file = own.files().remove(0);
                fs::remove_file(&file).unwrap();
                nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR).unwrap();
            }),
        ),
    ];
    for (what, spoil) in spoils {
        let own = Recorded::new();
        spoil(&own);
        let output = own.shell("touch ran");
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{what}: {output:?}");
        assert!(told.contains("audit log") && told.contains("--no-audit"), "{what}: {told}");
        assert!(!own.workspace.join("ran").exists(), "{what}: it ran all the same");
        let own_word = own.command(&["run", "--no-audit", "--workspace", ".", "--", "touch", "ran"]).output().unwrap();
        assert!(own_word.status.success() && own.workspace.join("ran").exists(), "{what}: {own_word:?}");
    }
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1, "nothing was written through a link");
}

#[test]
fn wal_05_a_full_disk_refuses_runs_and_loses_no_record() {
    let own = Recorded::new();
    let place = shown(&own.place());
    let (workspace, command) =
        (own.workspace.path().display(), cofferdam_tests::command::binary().display().to_string());
    // A disk of the test's own, in namespaces of its own, as small as it can be.
    let line = format!(
        "mkdir -m 700 {place} && mount -t tmpfs -o size=64k,mode=700 none {place} || exit 77; n=0; \
         while {command} run --isolation landlock --workspace {workspace} -- touch ran-$n 2> {workspace}/told; \
         do n=$((n+1)); test $n -lt 200 || exit 1; done; \
         cat {workspace}/told; echo ran $n; ls {workspace} | grep -c ran-; df --output=avail {place} | tail -1; \
         {command} audit query --json --kind started | wc -l; {command} audit verify; echo verified $?"
    );
    let mut shell = Command::new("timeout");
    shell.args(["-k", "5", "100", "unshare", "-Urm", "sh", "-c", &line]).env("COFFERDAM_AUDIT", &place);
    let output = shell.output().unwrap();
    let told = text(&output.stdout);
    if output.status.code() == Some(77) || told.is_empty() {
        return skip::skipped("no file system can be mounted here");
    }
    assert!(told.contains("no room"), "{output:?}");
    assert!(told.contains("verified 0"), "{output:?}");
    let numbers: Vec<u64> = told.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [ran, effects, _, started, ..] = numbers[..] else { panic!("{told}") };
    assert!(ran > 3 && effects == ran && started >= ran, "each that had an effect is recorded: {told}");
}

#[test]
fn br_15_a_guest_whose_workspace_holds_the_log_neither_sees_nor_changes_it() {
    for isolation in ["full", "landlock"] {
        let own = Recorded::new();
        let place = own.workspace.join("state");
        let run = |line: &str| {
            let mut command = cofferdam();
            command.args(["run", "--isolation", isolation, "--workspace", ".", "--", "sh", "-c", line]);
            command.env("COFFERDAM_AUDIT", &place).current_dir(own.workspace.path()).output().unwrap()
        };
        assert!(run("true").status.success());
        let file = place.join("00000000000000000001.jsonl");
        let before = fs::read(&file).unwrap();
        let line = "cat state/*.jsonl; ls state; echo evil >> state/00000000000000000001.jsonl; rm -rf state/*; mv state away; \
                    ln state/00000000000000000001.jsonl hard; cat away/*; touch alive";
        let output = run(line);
        assert!(own.workspace.join("alive").exists(), "{isolation}: {output:?}");
        assert!(!text(&output.stdout).contains("started"), "{isolation}: {output:?}");
        let after = fs::read(&file).unwrap();
        assert!(after.starts_with(&before), "{isolation}: what was recorded stays");
        assert!(!text(&after).contains("evil") && !own.workspace.join("away").exists(), "{isolation}");
        let mut verify = cofferdam();
        assert!(
            verify.args(["audit", "verify", "--log"]).arg(&place).output().unwrap().status.success(),
            "{isolation}"
        );
    }
}

#[test]
fn br_15_a_link_of_the_host_that_the_policy_opens_leads_to_no_log() {
    for isolation in ["full", "landlock"] {
        let (own, outside) = (Recorded::new(), Scratch::new());
        let place = outside.join("deep/log");
        let link = own.workspace.join("link");
        symlink(outside.join("deep"), &link).unwrap();
        outside.write("deep/readable", "CONTROL");
        let policy = format!("version = 1\nextends = \"dev\"\n[filesystem]\nread = [\"{}\"]\n", link.display());
        let policy = shown(&outside.write("p.toml", &policy));
        let run = || {
            let line = "cat link/readable; cat link/log/*; ls link/log";
            let options =
                ["run", "--isolation", isolation, "--policy", &policy, "--workspace", ".", "--", "sh", "-c", line];
            own.command(&options).env("COFFERDAM_AUDIT", &place).output().unwrap()
        };
        run();
        let output = run();
        let told = text(&output.stdout);
        if !told.contains("CONTROL") {
            // The link is not followed at all.
            assert!(!told.contains("seq"), "{isolation}: {output:?}");
            continue;
        }
        assert!(!told.contains("seq") && !told.contains("jsonl"), "{isolation}: {output:?}");
    }
}

#[test]
fn many_commands_at_once_record_in_one_log() {
    let own = Recorded::new();
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..8 {
                    assert!(own.shell("true").status.success());
                }
            });
        }
    });
    assert_whole(&own);
    assert_eq!((own.records("started").len(), own.records("completed").len()), (48, 48));
}

#[test]
fn wal_02_wal_03_what_is_changed_or_torn_is_found_with_the_number_of_its_record() {
    let own = Recorded::new();
    (0..3).for_each(|_| assert!(own.shell("true").status.success()));
    let file = own.files().remove(0);
    let whole = fs::read(&file).unwrap();
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), 7);
    for number in 1..=7_u64 {
        let at = usize::try_from(number).unwrap() - 1;
        let mut changed: Vec<Vec<u8>> = lines.iter().map(|line| line.to_vec()).collect();
        let middle = changed[at].len() / 2;
        changed[at][middle] ^= 4;
        fs::write(&file, changed.concat()).unwrap();
        assert_eq!(own.verify(&[]), (Some(1), vec![number]), "a bit of record {number}");
    }
    fs::write(&file, [&lines[..3], &lines[4..]].concat().concat()).unwrap();
    assert_eq!(own.verify(&[]), (Some(1), vec![4]), "a record that was dropped");
    fs::write(&file, &whole[..whole.len() - 20]).unwrap();
    assert_eq!(own.verify(&[]), (Some(3), vec![7]), "a torn end");
    assert!(own.shell("true").status.success());
    assert_whole(&own);
    assert_eq!(own.records("recovered").len(), 1, "what was cut is told");
    // What somebody saw before and is not there any more.
    let told: Value = serde_json::from_slice(&own.audit(&["verify", "--json"]).stdout).unwrap();
    let head = format!("{}:{}", told["last"], told["head"].as_str().unwrap());
    assert_eq!(own.verify(&["--head", &head]).0, Some(0));
    let bytes = fs::read(&file).unwrap();
    let cut = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    fs::write(&file, &bytes[..cut]).unwrap();
    assert_eq!(own.verify(&[]).0, Some(0), "a record cut off whole leaves no trace in the log itself");
    assert_eq!(own.verify(&["--head", &head]), (Some(1), vec![told["last"].as_u64().unwrap()]));
}

#[test]
fn wal_04_a_signed_log_cannot_be_cut_or_written_anew_without_the_key() {
    let own = Recorded::new();
    let keys = Scratch::new();
    let path = shown(&keys.join("key"));
    let public = text(&own.audit(&["key", &path]).stdout).trim().to_owned();
    assert_eq!(text(&own.audit(&["key", &path]).stdout).trim(), public, "it is made once");
    for _ in 0..2 {
        let output = own.command(&["run", "--", "true"]).env("COFFERDAM_AUDIT_KEY", &path).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(own.verify(&["--key", &public]), (Some(0), vec![]));
    let file = own.files().remove(0);
    let whole = fs::read(&file).unwrap();
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    fs::write(&file, lines[..lines.len() - 1].concat()).unwrap();
    let (code, faults) = own.verify(&["--key", &public]);
    assert_eq!((code, faults.len()), (Some(1), 1), "{faults:?}");
    fs::remove_file(&file).unwrap();
    assert!(own.shell("true").status.success());
    assert_eq!(own.verify(&["--key", &public]).0, Some(1), "a new log without signatures");
    fs::set_permissions(keys.join("key"), fs::Permissions::from_mode(0o644)).unwrap();
    let refused = own.command(&["run", "--", "true"]).env("COFFERDAM_AUDIT_KEY", &path).output().unwrap();
    assert_eq!(refused.status.code(), Some(125), "a key that others can read is none");
}

#[test]
fn a_commit_of_changes_is_recorded_before_and_after() {
    let own = Recorded::new();
    let state = Scratch::new();
    let run = |arguments: &[&str]| own.command(arguments).env("XDG_STATE_HOME", state.path()).output().unwrap();
    let output = run(&["run", "--overlay", "--", "sh", "-c", "echo x > made"]);
    assert!(output.status.success(), "{output:?}");
    let committed = run(&["changes", "commit"]);
    assert!(committed.status.success(), "{committed:?}");
    let before = own.records("changes_committing");
    let after = own.records("changes_committed");
    assert_eq!(before[0]["event"]["changes"]["id"], after[0]["event"]["changes"]["id"]);
    assert_eq!(after[0]["event"]["changes"]["created"], 1);
    assert!(before[0]["seq"].as_u64() < after[0]["seq"].as_u64());
    assert_eq!(own.records("completed")[0]["event"]["changes"]["id"], after[0]["event"]["changes"]["id"]);
}

#[test]
fn records_are_shown_as_a_table_in_full_and_as_they_stand_and_steer_no_terminal() {
    let own = Recorded::new();
    own.command(&["run", "--", "/opt/\u{1b}[2Jx\u{202e}"]).output().unwrap();
    let table = text(&own.audit(&["show"]).stdout);
    assert!(table.starts_with("SEQUENCE") && table.contains("started"), "{table}");
    let json = text(&own.audit(&["show", "--json"]).stdout);
    let whole = text(&own.audit(&["show", "2"]).stdout);
    assert!(whole.contains("\"seq\": 2,\n  \"prev\""), "{whole}");
    for shown in [&table, &json, &whole] {
        assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown}");
    }
    assert!(json.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    assert_eq!(own.audit(&["show", "99"]).status.code(), Some(125));
    assert_eq!(text(&own.audit(&["show", "--last", "1", "--json"]).stdout).lines().count(), 1);
    assert_eq!(own.audit(&["query", "--since", "yesterday"]).status.code(), Some(125));
    assert_eq!(own.audit(&["query", "--until", "2020-01-01"]).status.code(), Some(1));
    assert_eq!(own.audit(&["verify", "--log", "/nowhere/at/all"]).status.code(), Some(125));
    assert!(!std::path::Path::new("/nowhere").exists());
}

#[test]
fn a_log_is_followed_while_it_is_written() {
    let own = Recorded::new();
    assert!(own.shell("true").status.success());
    let mut follow = own.command(&["audit", "follow", "--json", "--last", "1"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert!(own.shell("true").status.success());
    let seen: Vec<u64> = (0..2)
        .map(|_| serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap()["seq"].as_u64().unwrap())
        .collect();
    let last = first["seq"].as_u64().unwrap();
    assert_eq!(seen, [last + 1, last + 2]);
    follow.kill().unwrap();
    follow.wait().unwrap();
}
