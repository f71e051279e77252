//! `cargo xtask bench start`: start-to-exit of `/bin/true` by commands: plain, in other sandboxes, and in cofferdam.

use super::peers;
use super::rounds::{COMPARED, Subject, compare, measure};
use super::table::Table;
use crate::workspace::fresh_folder;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Starts that are not counted.
const WARM_UP: usize = 20;

/// Runs the benchmark.
pub(super) fn run(rounds: usize) -> Result<(), String> {
    let folder = fresh_folder("bench")?;
    let outcome = subjects().and_then(|subjects| {
        let once = |(name, line): &(String, Vec<String>)| {
            let (line, folder) = (line.clone(), folder.clone());
            Subject::new(name.clone(), move || once(&line, &folder).map(|time| time as f64))
        };
        measure(subjects.iter().map(once).collect(), rounds, WARM_UP)
    });
    let _ = std::fs::remove_dir_all(&folder);
    let mut table = Table::new("start", "Start-to-exit of `/bin/true` by a command, µs", &COMPARED);
    compare(&mut table, &outcome?, 0);
    table.emit()
}

/// Every way to run `/bin/true` by a command.
pub(super) fn subjects() -> Result<Vec<(String, Vec<String>)>, String> {
    let mut subjects: Vec<(String, Vec<String>)> = vec![("plain".to_owned(), Vec::new())];
    subjects.extend(peers::found().into_iter().map(|peer| (peer.name.to_owned(), peer.line)));
    let binary = built_command()?;
    let own = |arguments: &[&str]| {
        [&[binary.as_str(), "run"], arguments, &["--"]].concat().into_iter().map(str::to_owned).collect()
    };
    subjects.push(("cofferdam run".to_owned(), own(&[])));
    subjects.push(("cofferdam run --workspace".to_owned(), own(&["--workspace", "."])));
    subjects.iter_mut().for_each(|(_, line)| line.push("/bin/true".to_owned()));
    Ok(subjects)
}

/// The command as it is installed.
pub(super) fn built_command() -> Result<String, String> {
    crate::dist::build()
}

/// Runs a command line in `folder`; answers microseconds.
pub(super) fn once(line: &[String], folder: &Path) -> Result<u128, String> {
    let (program, arguments) = line.split_first().ok_or("nothing to run")?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
    let start = Instant::now();
    let status = command.status().map_err(|error| error.to_string())?;
    let time = start.elapsed().as_micros();
    if status.success() { Ok(time) } else { Err(format!("ended with {status}")) }
}
