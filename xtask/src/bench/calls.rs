//! What the broker costs: calls that it answers, outside, in a sandbox, in one whose refusals are explained, and in one without
//! namespaces, one after the other in turn.

use crate::workspace::{built, fresh_folder, output, run as tool, say};

/// Rounds of each subject, whose medians' median is told.
const TURNS: usize = 5;

/// Runs what follows where no namespace can be made.
const WITHOUT_NAMESPACES: [&str; 6] = [
    "--map-current-user",
    "--keep-caps",
    "sh",
    "-c",
    "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --ambient-caps=-all --inh-caps=-all -- \"$@\"",
    "sh",
];

pub(super) fn run(rounds: usize) -> Result<(), String> {
    let command = super::start::built_command()?;
    tool("cargo", &["build", "--quiet", "--release", "--package", "cofferdam-tests", "--example", "brokered_calls"])?;
    let folder = fresh_folder("calls")?;
    let outcome = measure(&command, &folder.to_string_lossy(), rounds);
    let _ = std::fs::remove_dir_all(&folder);
    outcome
}

fn measure(command: &str, folder: &str, rounds: usize) -> Result<(), String> {
    tool("cp", &[&built("release/examples/brokered_calls"), folder])?;
    let (program, rounds) = (format!("{folder}/brokered_calls"), rounds.to_string());
    let run = ["run", "--workspace", folder];
    // Programs of the workspace may run under this policy.
    let outside: Vec<&str> = vec![&program];
    let full = [&[command][..], &run, &["--", &program]].concat();
    let bare = [&["unshare"][..], &WITHOUT_NAMESPACES, &[command], &run, &["--isolation", "landlock", "--", &program]]
        .concat();
    let explained = [&[command][..], &run, &["--explain", "--", &program]].concat();
    let subjects = [
        ("outside", outside),
        ("workspace", full),
        ("workspace, explained", explained),
        ("workspace without namespaces", bare),
    ];
    say("| calls | where | median ns a call | × outside |");
    say("| --- | --- | --- | --- |");
    for (what, calls) in [
        ("names", "create, rename, remove, mkdir"),
        ("open", "open for reading"),
        ("stat", "look at a file"),
        ("missing", "look for a file that is hidden"),
        ("read", "read from an open file"),
        ("connect", "connect to one's own socket"),
    ] {
        let mut times = vec![Vec::new(); subjects.len()];
        for _ in 0..TURNS {
            for ((name, line), times) in subjects.iter().zip(&mut times) {
                times.push(once(line, what, folder, &rounds).map_err(|why| format!("{name}: {why}"))?);
            }
        }
        let median = |times: &mut Vec<f64>| {
            times.sort_by(f64::total_cmp);
            times.get(TURNS / 2).copied().unwrap_or(0.0)
        };
        let medians: Vec<f64> = times.iter_mut().map(median).collect();
        let own = medians.first().copied().unwrap_or(1.0).max(1.0);
        for ((name, _), time) in subjects.iter().zip(medians) {
            say(&format!("| {calls} | {name} | {time:.0} | {:.1} |", time / own));
        }
    }
    Ok(())
}

fn once(line: &[&str], what: &str, folder: &str, rounds: &str) -> Result<f64, String> {
    let (program, arguments) = line.split_first().ok_or("nothing to run")?;
    let told = output(program, &[arguments, &[what, folder, rounds]].concat())?;
    let text = String::from_utf8_lossy(&told.stdout).trim().to_owned();
    text.parse().map_err(|_| format!("it printed `{text}`: {}", String::from_utf8_lossy(&told.stderr)))
}
