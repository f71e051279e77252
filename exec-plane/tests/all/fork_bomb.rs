//! A bomb that only forks, as fast as it can: it never gets past a few times its limit, whatever holds that.

use crate::host::{BOMBS, Host, profile};
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::limits::LimitName;
use std::path::{Path, PathBuf};
use std::process::Command;

const ALONE: &str = "COFFERDAM_TEST_ALONE";
const LIMIT: u64 = 64;

/// A bomb of so many generations, which marks each of its processes in a file and ends none: it stops by itself where nothing strikes.
fn bomb(generations: u32, marks: &Path) -> String {
    format!(
        "bomb() {{ printf . >> {marks}; [ $1 -ge {generations} ] && exec sleep 1000; \
         bomb $(($1 + 1)) & bomb $(($1 + 1)) & wait; }} 2> /dev/null; bomb 1",
        marks = marks.display()
    )
}

/// How many processes the bomb has had, and what held it.
fn explode(host: Host, marks: &Path) -> (u64, ExitCause) {
    let _ = std::fs::remove_file(marks);
    let cause = host.shell(&bomb(11, marks)).end().cause;
    drop(host);
    let had = std::fs::metadata(marks).map_or(0, |marks| marks.len());
    (had, cause)
}

fn limited() -> Host {
    let mut profile = profile();
    profile.limits.processes = Some(LIMIT);
    Host::new(profile)
}

/// Groups of this process.
fn groups() -> Vec<PathBuf> {
    let own = format!("cofferdam-{}-", std::process::id());
    let (mut found, mut open) = (Vec::new(), vec![PathBuf::from("/sys/fs/cgroup")]);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                found.extend(entry.file_name().to_string_lossy().starts_with(&own).then(|| entry.path()));
                open.push(entry.path());
            }
        }
    }
    found
}

#[test]
fn a_fork_bomb_never_gets_past_a_few_times_its_limit_and_no_group_stays() {
    // Other tests of this process have groups, too: it is done in one of its own.
    if std::env::var_os(ALONE).is_none() {
        let name = "fork_bomb::a_fork_bomb_never_gets_past_a_few_times_its_limit_and_no_group_stays";
        let _alone = BOMBS.lock();
        let own = std::env::current_exe().unwrap();
        let output = Command::new(own).args([name, "--exact", "--nocapture"]).env(ALONE, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        print!("{}", text.lines().filter(|line| line.starts_with("held")).collect::<Vec<_>>().join("\n"));
        return;
    }
    let marks = std::env::temp_dir().join(format!("cofferdam-bomb-{}", std::process::id()));
    // The control: it does get past that where nothing holds it.
    let free = Host::new(profile());
    let counted = format!("while [ $(wc -c < {} || echo 0) -lt 511 ]; do sleep 0.05; done", marks.display());
    let cause = free.shell(&format!("({}) & {counted}", bomb(9, &marks))).end().cause;
    assert!(cause.success(), "{cause:?}");
    drop(free);
    for cgroups in [true, false] {
        let Host { plane, vm_id, context } = limited();
        let plane = if cgroups { plane } else { plane.without_cgroups() };
        let (had, cause) = explode(Host { plane, vm_id, context }, &marks);
        println!("held at {had} of a limit of {LIMIT}: {cause:?}");
        let ExitCause::Limit { limit: LimitName::Processes, value: LIMIT, held_by, .. } = &cause else {
            panic!("{cause:?}")
        };
        // Each mark was a process, but not all were there at once: a shell that could not start another has ended, and made room for one. What
        // the kernel holds it holds exactly. Root without a cgroup is held by looking alone, as soon as the machine lets it be looked.
        let most = match held_by.as_str() {
            "supervisor poll" if nix::unistd::geteuid().is_root() => u64::MAX,
            "supervisor poll" => 8 * LIMIT,
            _ => 4 * LIMIT,
        };
        assert!(had > LIMIT / 4 && had <= most, "{had}: {cause:?}");
        assert_eq!(groups(), Vec::<PathBuf>::new());
    }
    std::fs::remove_file(&marks).unwrap();
}
