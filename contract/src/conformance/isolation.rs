//! Attempts to break out, made for real; what came of them is looked at from outside.
//!
//! Beside the folder that a program may change lies one that no rule names, with a canary in it. Each attempt tries to read the canary
//! or to change the folder. It has worked when the program could print the canary, or when the folder is not as it was.

use super::check::{Found, Group, Suite, ensure};
use super::stage::{Ended, Stage, system};
use cofferdam_bridge::descriptor::Feature;
use cofferdam_bridge::enforcement::Tier;
use cofferdam_bridge::profile::{CommandRule, ExecutionProfile, PathEffect, PathPattern, PathRule};
use cofferdam_bridge::verdict::RuleRef;
use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

const GROUP: Group = Group::Isolation;

/// What must never be seen inside. In halves, so that no attempt prints it by printing itself.
const CANARY: &str = "canary-7f3a-of-the-host";

/// Ways to the secret folder `$S` and its file `$S/canary` from the folder `$W`.
const READING: [(&str, &str); 20] = [
    ("cat", "cat $S/canary"),
    ("dot_dot", "cat ../secret/canary"),
    ("dot_dot_absolute", "cat $W/../secret/canary"),
    ("doubled_slashes", "cat /$S//canary"),
    ("dots", "cat $S/././canary"),
    ("symlink", "ln -s $S/canary l1; cat l1"),
    ("symlink_folder", "ln -s $S l2; cat l2/canary"),
    ("symlink_chain", "ln -s $S l3; ln -s l3 l4; ln -s l4/canary l5; cat l5"),
    ("symlink_relative", "ln -s ../secret/canary l6; cat l6"),
    ("hard_link", "ln $S/canary h1 && cat h1"),
    ("hard_link_of_link", "ln -s $S/canary l7; ln -L l7 h2 && cat h2"),
    ("proc_root", "cat /proc/self/root$S/canary"),
    ("proc_one_root", "cat /proc/1/root$S/canary"),
    ("proc_cwd", "cat /proc/self/cwd/../secret/canary"),
    ("proc_parents", "for p in /proc/[0-9]*; do cat $p/root$S/canary; cat $p/cwd/../secret/canary; done"),
    ("cd", "cd $S && cat canary"),
    ("cp", "cp $S/canary copied && cat copied"),
    ("redirect", "while read -r line; do echo $line; done < $S/canary"),
    ("executed", "sh $S/canary; . $S/canary"),
    ("listing", "ls -la $S; ls $S/* | head; find $S -name 'canary*' -exec cat {} +"),
];

/// Ways to change it.
const WRITING: [(&str, &str); 16] = [
    ("create", "echo x > $S/new"),
    ("overwrite", "echo x > $S/canary"),
    ("append", "echo x >> $S/canary"),
    ("remove", "rm -f $S/canary"),
    ("rename", "mv $S/canary $S/moved"),
    ("rename_out", "mv $S/canary ./taken"),
    ("rename_in", "echo x > mine; mv mine $S/mine"),
    ("directory", "mkdir $S/folder"),
    ("symlink_in", "ln -s /etc/passwd $S/link"),
    ("hard_link_in", "echo x > mine2; ln mine2 $S/mine2"),
    ("mode", "chmod 777 $S $S/canary"),
    ("times", "touch -d 2001-01-01 $S/canary"),
    ("truncate", ": > $S/canary; truncate -s 0 $S/canary"),
    ("through_symlink", "ln -s $S w1; echo x > w1/through; rm -f w1/canary"),
    ("through_dot_dot", "echo x > ../secret/up; rm -f ../secret/canary"),
    ("fifo", "mkfifo $S/pipe"),
];

/// Ways to what a rule refuses or protects inside the folder that may be changed: `denied/canary` and `kept/config`.
const RULES: [(&str, &str); 12] = [
    ("denied_read", "cat denied/canary"),
    ("denied_symlink", "ln -s denied l8; cat l8/canary"),
    ("denied_hard_link", "ln denied/canary h3 && cat h3"),
    ("denied_renamed_parent", "mv denied elsewhere; cat elsewhere/canary"),
    ("denied_write", "echo x > denied/canary"),
    ("denied_remove", "rm -rf denied"),
    ("kept_write", "echo x > kept/config"),
    ("kept_remove", "rm -f kept/config"),
    ("kept_rename", "mv kept renamed"),
    ("kept_rename_file", "mv kept/config kept/other"),
    ("kept_replace", "echo x > y; mv y kept/config"),
    ("kept_symlink", "rm -rf kept; ln -s /tmp kept"),
];

pub(super) fn check(suite: &mut Suite, stage: &Stage) {
    if !stage.has(Feature::Commands) || !suite.wants(GROUP) {
        return;
    }
    let placed = fs::write(stage.secret().join("canary"), format!("echo {CANARY}\n"));
    if let Err(error) = placed {
        return suite.fail(GROUP, "canary", "the canary can be placed", &error.to_string());
    }
    let isolates = stage.profile().isolation.require > Tier::None && stage.has(Feature::FilesystemRules);
    let unnamed = "what no rule names can be neither seen nor changed";
    let ruled = "what a rule refuses or protects inside a folder stays so";
    let unclaimed = (!isolates)
        .then(|| "the plane does not claim `filesystem_rules`, or this machine gives no tier for it".to_owned());
    let unheld = unclaimed.clone().or_else(|| refused_rules(stage));
    let outside = READING
        .into_iter()
        .chain(WRITING)
        .map(|line| (line, unnamed, &unclaimed, attempt as fn(&Stage, &str) -> Found));
    for ((name, line), title, untried, tried) in outside.chain(RULES.map(|line| (line, ruled, &unheld, inside as _))) {
        match untried {
            Some(why) => suite.skip(GROUP, name, title, why),
            None => suite.check(GROUP, name, title, || tried(stage, line)),
        }
    }
    control(suite, stage);
    network(suite, stage);
    processes(suite, stage, isolates);
}

/// The line with its folders, tolerant of every failure on the way.
fn run(stage: &Stage, profile: ExecutionProfile, line: &str) -> Result<Ended, String> {
    let (work, secret) = (stage.work().display().to_string(), stage.secret().display().to_string());
    stage.shell_under(profile, &format!("W={work}; S={secret}; {{ {line}; }} 2>&1; exit 0"))
}

fn attempt(stage: &Stage, line: &str) -> Found {
    let before = picture(&stage.secret());
    let ended = run(stage, stage.profile(), line)?;
    clear(&stage.work());
    ensure!(!ended.text().contains(CANARY), "the canary was read");
    ensure!(picture(&stage.secret()) == before, "the folder is not as it was");
    Ok(())
}

/// A profile with rules inside the folder that may be changed.
fn with_rules(stage: &Stage) -> ExecutionProfile {
    let mut profile = stage.profile();
    for (effect, folder) in [(PathEffect::Deny, "denied"), (PathEffect::Protect, "kept")] {
        let pattern = PathPattern::Literal(stage.work().join(folder).to_string_lossy().into_owned());
        let rule = RuleRef::new("conformance kit", None, folder);
        profile.filesystem.rules.push(PathRule::new(effect, pattern, rule));
    }
    // Nothing in the folder itself is executed: where there are no mounts that could not be told apart.
    let rule = RuleRef::new("conformance kit", None, "commands.allow");
    profile.commands.allow = system().map(|place| CommandRule::new(place, rule.clone())).collect();
    profile
}

/// Places what the rules are about.
fn place(work: &Path) -> Found {
    for (folder, file) in [("denied", "canary"), ("kept", "config")] {
        fs::create_dir_all(work.join(folder)).map_err(|error| error.to_string())?;
        fs::write(work.join(folder).join(file), format!("echo {CANARY}\n")).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Why the plane refuses such rules on this machine, if it does: then nothing runs under them, and nothing can be tried.
fn refused_rules(stage: &Stage) -> Option<String> {
    let placed = place(&stage.work());
    let answer = placed.map(|()| stage.plane.preflight(&with_rules(stage)));
    clear(&stage.work());
    // Where they cannot be placed each check says so.
    let answer = answer.ok()?;
    let why = answer.shortfalls.iter().find(|shortfall| shortfall.blocking)?;
    Some(format!("its preflight refuses such rules here: {}", why.message))
}

fn inside(stage: &Stage, line: &str) -> Found {
    let work = stage.work();
    place(&work)?;
    let before = (picture(&work.join("denied")), picture(&work.join("kept")));
    let ended = run(stage, with_rules(stage), line);
    let after = (picture(&work.join("denied")), picture(&work.join("kept")));
    clear(&work);
    ensure!(!ended?.text().contains(CANARY), "the canary was read");
    ensure!(after == before, "it is not as it was");
    Ok(())
}

/// That the same attempts work where a rule allows them: a plane that runs nothing must not pass.
fn control(suite: &mut Suite, stage: &Stage) {
    suite.check(GROUP, "control_read", "where a rule allows it the canary is read", || {
        fs::write(stage.work().join("open"), CANARY).map_err(|error| error.to_string())?;
        let ended = run(stage, stage.profile(), "cat $W/open");
        clear(&stage.work());
        ensure!(ended?.text().contains(CANARY), "it was not");
        Ok(())
    });
    suite.check(GROUP, "control_write", "where a rule allows it the folder is changed", || {
        let ended = run(stage, stage.profile(), "echo x > $W/new; mkdir $W/folder; ln -s new $W/link");
        // By name: what an earlier run left alive, where that was told beforehand, may still write here.
        let missing = ["new", "folder", "link"].into_iter().find(|name| !stage.work().join(name).exists());
        clear(&stage.work());
        ended?;
        ensure!(missing.is_none(), "`{}` was not made", missing.unwrap_or_default());
        Ok(())
    });
}

/// Connections to a listener of ours, made by what lies on most machines.
fn network(suite: &mut Suite, stage: &Stage) {
    let title = "no connection or datagram leaves";
    let isolates = stage.profile().isolation.require > Tier::None && stage.has(Feature::NetworkDeny);
    let bash = Path::new("/bin/bash").exists() || Path::new("/usr/bin/bash").exists();
    if !isolates || !bash {
        let why =
            if bash { "the plane does not claim `network_deny`" } else { "there is no bash here to connect with" };
        for name in ["tcp_loopback", "tcp_localhost", "udp_loopback", "tcp_by_child"] {
            suite.skip(GROUP, name, title, why);
        }
        return;
    }
    for (name, line) in [
        ("tcp_loopback", "bash -c 'echo x > /dev/tcp/127.0.0.1/PORT'"),
        ("tcp_localhost", "bash -c 'echo x > /dev/tcp/0.0.0.0/PORT'"),
        ("tcp_by_child", "(sleep 0.1; setsid bash -c 'echo x > /dev/tcp/127.0.0.1/PORT') & wait"),
    ] {
        suite.check(GROUP, name, title, || {
            let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
            let port = listener.local_addr().map_err(|error| error.to_string())?.port();
            run(stage, stage.profile(), &line.replace("PORT", &port.to_string()))?;
            listener.set_nonblocking(true).map_err(|error| error.to_string())?;
            ensure!(listener.accept().is_err(), "a connection arrived");
            // Ours arrives, so the listener would have seen one.
            let _own = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
            listener.set_nonblocking(false).map_err(|error| error.to_string())?;
            listener.accept().map(|_| ()).map_err(|error| error.to_string())
        });
    }
    suite.check(GROUP, "udp_loopback", title, || {
        let socket = UdpSocket::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let port = socket.local_addr().map_err(|error| error.to_string())?.port();
        run(stage, stage.profile(), &format!("bash -c 'echo x > /dev/udp/127.0.0.1/{port}'"))?;
        socket.set_read_timeout(Some(Duration::from_millis(100))).map_err(|error| error.to_string())?;
        ensure!(socket.recv(&mut [0; 8]).is_err(), "a datagram arrived");
        let own = UdpSocket::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        own.send_to(b"own", ("127.0.0.1", port)).map_err(|error| error.to_string())?;
        socket.recv(&mut [0; 8]).map(|_| ()).map_err(|error| error.to_string())
    });
}

fn processes(suite: &mut Suite, stage: &Stage, isolates: bool) {
    let title = "no process of the host is read or signalled";
    let own = std::process::id();
    let rows = [
        ("signal_host", format!("kill -0 {own} && echo {CANARY}")),
        ("environ_host", format!("cat /proc/{own}/environ && echo {CANARY}")),
        ("memory_host", format!("head -c 1 /proc/{own}/mem && echo {CANARY}")),
        ("descriptors_host", format!("ls /proc/{own}/fd/0 && echo {CANARY}")),
        ("mount", format!("mount -t tmpfs none $W && echo {CANARY}")),
        ("raw_device", format!("head -c 1 /dev/sda || head -c 1 /dev/vda && echo {CANARY}")),
        ("kernel_setting", format!("echo 1 > /proc/sys/kernel/dmesg_restrict && echo {CANARY}")),
    ];
    for (name, line) in rows {
        if !isolates || stage.profile().isolation.require < Tier::Full {
            suite.skip(
                GROUP,
                name,
                title,
                "the plane does not claim the tier `full`, or this machine does not give it",
            );
            continue;
        }
        suite.check(GROUP, name, title, || {
            // A process of the same number inside would be its own.
            let line = if line.contains(&format!("/proc/{own}")) || line.starts_with("kill") {
                format!("[ $$ -gt {own} ] || {{ {line}; }}")
            } else {
                line.clone()
            };
            attempt(stage, &line)
        });
    }
}

/// Each entry: name, mode, size, time of change, contents.
fn picture(folder: &Path) -> BTreeMap<String, String> {
    use std::os::unix::fs::MetadataExt;
    let mut entries = BTreeMap::new();
    let own = fs::symlink_metadata(folder).map_or(0, |metadata| metadata.mode());
    entries.insert(".".to_owned(), format!("{own:o}"));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let contents = if metadata.is_file() { fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
        let told = format!("{:o} {} {} {contents}", metadata.mode(), metadata.size(), metadata.mtime());
        entries.insert(entry.file_name().to_string_lossy().into_owned(), told);
    }
    entries
}

/// Empties a folder for the next attempt.
fn clear(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let folder = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
        // What cannot be taken away does not belong to a later attempt either.
        let _ = if folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
    }
}
