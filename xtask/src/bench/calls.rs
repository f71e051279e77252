//! What the broker costs: calls that it answers, outside, in a sandbox, in one whose refusals are explained, and in one without
//! namespaces, one after the other in turn.

use super::rounds::{Subject, measure as turns, quartiles};
use super::table::{Cell, Table};
use crate::workspace::{built, fresh_folder, output, run as tool};

/// Rounds of each subject, whose medians' quartiles are told.
const TURNS: usize = 5;

/// Runs what follows where no namespace can be made.
pub(super) const WITHOUT_NAMESPACES: [&str; 6] = [
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
    let head = ["calls", "where", "median", "p25–p75", "× outside"];
    let mut table = Table::new("calls", "What calls take, ns each", &head);
    for (what, calls) in [
        ("names", "create, rename, remove, mkdir"),
        ("open", "open for reading"),
        ("look", "look for a file that is there and one that is not"),
        ("missing", "look for a file that is hidden"),
        ("read", "read from an open file"),
        ("connect", "connect to one's own socket"),
    ] {
        let subject = |(name, line): &(&'static str, Vec<&str>)| {
            let line: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
            Subject::new(*name, {
                let rounds = rounds.clone();
                move || once(&line, what, folder, &rounds)
            })
        };
        let all = turns(subjects.iter().map(subject).collect(), TURNS, 0)?;
        let own = all.first().map_or(1.0, |outside| quartiles(&outside.rounds)[1]).max(1.0);
        for one in &all {
            let [low, median, high] = quartiles(&one.rounds);
            let cells = vec![
                calls.into(),
                one.name.as_str().into(),
                Cell::Number(median, 0),
                Cell::Spread(low, high, 0),
                Cell::Number(median / own, 1),
            ];
            table.row(cells);
        }
    }
    table.emit()
}

fn once(line: &[String], what: &str, folder: &str, rounds: &str) -> Result<f64, String> {
    let (program, arguments) = line.split_first().ok_or("nothing to run")?;
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    arguments.extend([what, folder, rounds]);
    let told = output(program, &arguments)?;
    let text = String::from_utf8_lossy(&told.stdout).trim().to_owned();
    text.parse().map_err(|_| format!("it printed `{text}`: {}", String::from_utf8_lossy(&told.stderr)))
}
