//! Programs: how they start, what surrounds them, how they end.

use super::check::{Found, Group, Suite, ensure};
use super::stage::{Stage, told};
use cofferdam_bridge::descriptor::Feature;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::exit_cause::ExitCause;
use std::fs;
use std::time::Duration;

const GROUP: Group = Group::Execution;

pub(super) fn check(suite: &mut Suite, stage: &Stage) {
    if !stage.has(Feature::Commands) {
        return suite.skip(GROUP, "programs", "native programs run", "the plane does not claim `commands`");
    }
    for code in [0, 1, 2, 3, 7, 42, 125, 126, 127, 128, 200, 255] {
        suite.check(GROUP, format!("exit_{code}"), "the exit code is the program's own", || {
            stage.shell(&format!("exit {code}"))?.exited(code)
        });
    }
    for (name, signal) in [("HUP", 1), ("INT", 2), ("ABRT", 6), ("KILL", 9), ("USR1", 10), ("SEGV", 11), ("TERM", 15)] {
        suite.check(
            GROUP,
            format!("signalled_{name}"),
            "a program that a signal ended is told so, with its number",
            || {
                // A shell that is the first process of a pid namespace does not hear its own signals, so a child of it is asked.
                let cause = stage.shell(&format!("exec sh -c 'kill -{name} $$; sleep 5'"))?.report.cause;
                let told = matches!(cause, ExitCause::Signalled { signal: own, .. } if own == signal);
                ensure!(told, "the cause is {cause:?}");
                Ok(())
            },
        );
    }
    arguments(suite, stage);
    surroundings(suite, stage);
    faults(suite, stage);
    ends(suite, stage);
}

fn arguments(suite: &mut Suite, stage: &Stage) {
    let long = "x".repeat(100_000);
    let cases: [(&str, &str); 13] = [
        ("plain", "word"),
        ("empty", ""),
        ("space", "two words"),
        ("newline", "a\nb\n"),
        ("quotes", "'\"`"),
        ("dollar", "$HOME ${PATH} $(id)"),
        ("glob", "* ? [a-z]"),
        ("backslash", "\\n\\\\"),
        ("dash", "--help"),
        ("unicode", "äöü ☃ 日本"),
        ("control", "\u{1}\u{1b}[0m\u{7f}"),
        ("semicolon", "; exit 9 #"),
        ("long", &long),
    ];
    for (name, argument) in cases {
        suite.check(GROUP, format!("argument_{name}"), "an argument arrives as it was given", || {
            let mut request = stage.request("printf '%s|' \"$@\"");
            request.arguments.extend(["sh".to_owned(), argument.to_owned(), "last".to_owned()]);
            let text = stage.run(request)?.text();
            ensure!(text == format!("{argument}|last|"), "{} bytes arrived otherwise", text.len());
            Ok(())
        });
    }
    suite.check(GROUP, "arguments_many", "a thousand arguments arrive", || {
        let mut request = stage.request("echo $#");
        request.arguments.push("sh".to_owned());
        request.arguments.extend((0..1000).map(|number| number.to_string()));
        let text = stage.run(request)?.text();
        ensure!(text == "1000\n", "{text:?} arrived");
        Ok(())
    });
}

fn surroundings(suite: &mut Suite, stage: &Stage) {
    for (name, value) in [
        ("plain", "value"),
        ("empty", ""),
        ("space", "a b"),
        ("newline", "a\nb"),
        ("equals", "a=b=c"),
        ("unicode", "☃"),
    ] {
        suite.check(GROUP, format!("variable_{name}"), "a variable arrives as it was given", || {
            let mut request = stage.request("printf '%s' \"$COFFERDAM_KIT\"");
            request.environment.insert("COFFERDAM_KIT".to_owned(), value.to_owned());
            let text = stage.run(request)?.text();
            ensure!(text == value, "it arrived as {text:?}");
            Ok(())
        });
    }
    suite.check(GROUP, "environment_alone", "no variable of the plane's own process crosses", || {
        let text = stage.shell("env")?.text();
        let known = [
            "PATH",
            "PWD",
            "OLDPWD",
            "SHLVL",
            "_",
            "HOME",
            "TMPDIR",
            "TMP",
            "TEMP",
            "TEMPDIR",
            "TMPPREFIX",
            "XDG_RUNTIME_DIR",
        ];
        let foreign = text.lines().filter_map(|line| line.split('=').next()).find(|name| !known.contains(name));
        ensure!(foreign.is_none(), "`{}` is there", foreign.unwrap_or_default());
        Ok(())
    });
    suite.check(GROUP, "path_given", "PATH is as it was given", || {
        let mut request = stage.request("echo $PATH");
        request.environment.insert("PATH".to_owned(), "/usr/bin:/bin:/kit".to_owned());
        let text = stage.run(request)?.text();
        ensure!(text == "/usr/bin:/bin:/kit\n", "it is {text:?}");
        Ok(())
    });
    suite.check(GROUP, "directory", "the program starts in the directory that was given", || {
        let text = stage.shell("pwd -P")?.text();
        ensure!(text.trim() == stage.work().to_string_lossy(), "it started in {text:?}");
        Ok(())
    });
    suite.check(GROUP, "bare_name", "a bare name is looked up in the PATH of the run", || {
        let mut request = stage.request("");
        (request.program, request.arguments) = ("echo".to_owned(), vec!["found".to_owned()]);
        let text = stage.run(request)?.text();
        ensure!(text == "found\n", "it printed {text:?}");
        Ok(())
    });
    suite.check(GROUP, "own_path_first", "the PATH of the run decides, not the plane's own", || {
        let script = stage.work().join("kit-tool");
        fs::write(&script, "#!/bin/sh\necho own\n").map_err(|error| error.to_string())?;
        executable(&script)?;
        let mut request = stage.request("");
        (request.program, request.arguments) = ("kit-tool".to_owned(), Vec::new());
        request.environment.insert("PATH".to_owned(), stage.work().to_string_lossy().into_owned());
        let text = stage.run(request)?.text();
        ensure!(text == "own\n", "it printed {text:?}");
        Ok(())
    });
    suite.check(GROUP, "own_name", "the program's own name is its first argument", || {
        let text = stage.shell("echo $0")?.text();
        ensure!(text.trim().ends_with("sh"), "it is {text:?}");
        Ok(())
    });
    suite.check(GROUP, "writes_land", "what a program writes where it may lies there for the host", || {
        stage.shell("echo kept > kept.txt")?.exited(0)?;
        let kept = fs::read_to_string(stage.work().join("kept.txt")).map_err(|error| error.to_string())?;
        ensure!(kept == "kept\n", "it is {kept:?}");
        Ok(())
    });
    suite.check(GROUP, "no_descriptors", "a program has no descriptors but its three", || {
        let text = stage.shell("ls /proc/self/fd 2>/dev/null || echo '0 1 2'")?.text();
        // The listing itself holds one.
        let more = text.split_whitespace().filter_map(|number| number.parse::<u32>().ok()).filter(|number| *number > 3);
        ensure!(more.count() == 0, "there are {text:?}");
        Ok(())
    });
}

fn faults(suite: &mut Suite, stage: &Stage) {
    let refused = |name: &str, codes: &[ErrorCode]| -> Found {
        let mut request = stage.request("");
        (request.program, request.arguments) = (name.to_owned(), Vec::new());
        match stage.start(request) {
            Err(error) if codes.contains(&error.code) => Ok(()),
            Err(error) => Err(told(&error)),
            Ok(run) => {
                // A plane may hear of it only when it executes.
                let cause = run.finish()?.report.cause;
                let code = cause.code();
                let found = code.is_some_and(|code| codes.contains(&code));
                ensure!(found, "it was started, and ended with {cause:?}");
                Ok(())
            }
        }
    };
    let missing = [ErrorCode::ProgramNotFound, ErrorCode::DeniedByPolicy];
    let broken = [
        ErrorCode::ProgramNotExecutable,
        ErrorCode::ProgramNotFound,
        ErrorCode::DeniedByPolicy,
        ErrorCode::PathInvalid,
        ErrorCode::SpawnFailed,
    ];
    suite.check(GROUP, "missing", "a program that is not there is `program_not_found`", || {
        refused("/usr/bin/no-such-program", &missing)
    });
    suite.check(GROUP, "missing_bare", "a bare name that is nowhere is `program_not_found`", || {
        refused("no-such-program", &missing)
    });
    suite.check(GROUP, "directory_as_program", "a directory is no program", || refused("/usr/bin", &broken));
    suite.check(GROUP, "empty_program", "an empty name is refused", || {
        refused("", &[ErrorCode::PathInvalid, ErrorCode::RequestInvalid, ErrorCode::ProgramNotFound])
    });
    suite.check(GROUP, "not_executable", "a file without the right to be executed is no program", || {
        let path = stage.work().join("plain.txt");
        fs::write(&path, "text").map_err(|error| error.to_string())?;
        refused(&path.to_string_lossy(), &broken)
    });
    for (name, directory) in [("relative", "work"), ("missing", "/no/such/directory")] {
        suite.check(GROUP, format!("directory_{name}"), "a directory that cannot be worked in is refused", || {
            let mut request = stage.request("true");
            request.working_directory = directory.to_owned();
            match stage.start(request) {
                Err(_) => Ok(()),
                Ok(run) => {
                    let cause = run.finish()?.report.cause;
                    ensure!(!cause.success(), "the program ran");
                    Ok(())
                }
            }
        });
    }
    let title = "a program that no rule allows is `denied_by_policy`";
    if !stage.has(Feature::CommandRules) {
        return suite.skip(GROUP, "denied", title, "the plane does not claim `command_rules`");
    }
    suite.check(GROUP, "denied", title, || {
        let mut profile = stage.profile();
        profile.commands.allow.clear();
        let vm_id = stage.new_vm();
        let context = stage.context_in(&vm_id, profile).map_err(|error| told(&error))?;
        let started = stage.start(stage.request_in(&vm_id, &context, "true"));
        let code = match started {
            Err(error) => Some(error.code),
            Ok(run) => run.finish()?.report.cause.code(),
        };
        stage.plane.forget_vm(&vm_id);
        ensure!(code == Some(ErrorCode::DeniedByPolicy), "the code is {code:?}");
        Ok(())
    });
}

fn ends(suite: &mut Suite, stage: &Stage) {
    suite.check(GROUP, "wall_time", "the report tells how long it took", || {
        let ended = stage.shell("sleep 0.2")?;
        let wall = ended.report.usage.wall_us;
        ensure!((150_000..30_000_000).contains(&wall), "it tells {wall} µs");
        Ok(())
    });
    suite.check(GROUP, "bytes_counted", "the report counts what was handed out", || {
        let ended = stage.shell("printf 12345; printf 123 >&2")?;
        let counted = (ended.report.usage.stdout_bytes, ended.report.usage.stderr_bytes);
        ensure!(counted == (5, 3), "it counts {counted:?}");
        Ok(())
    });
    suite.check(GROUP, "enforcement_told", "the report's tier is one that the preflight promised", || {
        let promised = stage.plane.preflight(&stage.profile()).enforcement.tier;
        let had = stage.shell("true")?.report.enforcement.tier;
        ensure!(had >= promised, "promised {promised:?}, had {had:?}");
        Ok(())
    });
    suite.check(GROUP, "nothing_outlives", "what a program left in the background is ended with it", || {
        let line = "(while :; do echo beat >> beats; sleep 0.05; done) >/dev/null 2>&1 & until test -s beats; do sleep 0.05; done";
        stage.shell(line)?.exited(0)?;
        still(stage, "beats")
    });
    suite.check(GROUP, "nothing_outlives_a_session", "also what made a session of its own", || {
        let title = "setsid sh -c 'while :; do echo beat >> beats2; sleep 0.05; done' >/dev/null 2>&1 & until test -s beats2; do sleep 0.05; done";
        let contained = stage.plane.preflight(&stage.profile()).enforcement.mechanisms;
        let held = contained
            .iter()
            .all(|report| report.mechanism != cofferdam_bridge::enforcement::Mechanism::Containment || report.held);
        let ended = stage.shell(title)?;
        if !held {
            // Told beforehand; the kernel's keeper ends it with the plane.
            return Ok(());
        }
        ended.exited(0)?;
        still(stage, "beats2")
    });
}

/// Whether a file has stopped growing.
pub(super) fn still(stage: &Stage, name: &str) -> Found {
    let size = || fs::metadata(stage.work().join(name)).map_or(0, |metadata| metadata.len());
    let before = size();
    std::thread::sleep(Duration::from_millis(300));
    ensure!(before > 0, "nothing was ever written");
    ensure!(size() == before, "it still grows after the end was told");
    Ok(())
}

fn executable(path: &std::path::Path) -> Found {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(|error| error.to_string())
}
