//! `cargo xtask bench idle`: memory that a sandbox holds while a program in it waits.
//!
//! What counts is the proportional set (proc_pid_smaps(5)) of the sandbox's own processes, the program's own left out.

use super::embedded;
use super::start::subjects;
use super::table::{Cell, Table};
use crate::workspace::fresh_folder;
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Sandboxes of each kind at one time.
const COUNT: usize = 20;

/// How long they have to get to where they wait.
const SETTLED: Duration = Duration::from_millis(1500);

/// The program that waits, by the name that the kernel has for it.
const WAITS: [&str; 2] = ["/bin/sleep", "1000"];

pub(super) fn run(_rounds: usize) -> Result<(), String> {
    embedded::build()?;
    let folder = fresh_folder("idle")?;
    let outcome = subjects().and_then(|subjects| {
        let each = subjects.iter().filter(|(name, _)| name != "plain");
        each.map(|(name, line)| Ok((name.clone(), of_commands(line, &folder)?))).collect::<Result<Vec<_>, String>>()
    });
    let _ = fs::remove_dir_all(&folder);
    let mut figures = outcome?;
    for count in ["20", "200"] {
        let text = embedded::program(&["idle", count])?;
        let kibibytes: f64 = text.parse().map_err(|_| format!("it printed `{text}`"))?;
        figures.push((format!("embedded, {count} in one host"), kibibytes));
    }
    let peer = figures.iter().find(|(name, _)| name == "bubblewrap").map(|(_, figure)| *figure);
    let mut table = Table::new(
        "idle",
        "Memory of a sandbox's own processes while a program in it waits, KiB each",
        &["subject", "KiB", "× bubblewrap"],
    );
    for (name, figure) in figures {
        let ratio = peer.map_or(Cell::None, |peer| Cell::Number(figure / peer.max(1.0), 2));
        table.row(vec![name.as_str().into(), Cell::Number(figure, 0), ratio]);
    }
    table.emit()
}

/// KiB for each of some sandboxes that a command made.
fn of_commands(line: &[String], folder: &Path) -> Result<f64, String> {
    let line: Vec<&str> = line.iter().map(String::as_str).filter(|word| *word != "/bin/true").chain(WAITS).collect();
    let (program, arguments) = line.split_first().ok_or("nothing to run")?;
    let start = || {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map_err(|error| format!("{program}: {error}"))
    };
    let mut children: Vec<Child> = (0..COUNT).map(|_| start()).collect::<Result<_, _>>()?;
    std::thread::sleep(SETTLED);
    let total: u64 = children.iter().map(|child| own_processes(child.id())).sum();
    for child in &mut children {
        end(child.id());
        let _ = child.kill();
        let _ = child.wait();
    }
    if total == 0 { Err(format!("{program} did not stay")) } else { Ok(total as f64 / COUNT as f64) }
}

/// The proportional set of a process and its descendants but the program that waits.
fn own_processes(root: u32) -> u64 {
    descendants(root).into_iter().filter(|pid| name_of(*pid) != "sleep").map(proportional_set).sum()
}

/// Ends the programs that wait, for sandboxes that do not end with their command.
fn end(root: u32) {
    for pid in descendants(root).into_iter().filter(|pid| name_of(*pid) == "sleep") {
        let _ = Command::new("kill").arg("-9").arg(pid.to_string()).stderr(Stdio::null()).status();
    }
}

fn descendants(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(parent) = field(pid, "status", "PPid:") {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut at = 0;
    while let Some(pid) = found.get(at).copied() {
        found.extend(children.get(&pid).into_iter().flatten());
        at += 1;
    }
    found
}

fn name_of(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

fn proportional_set(pid: u32) -> u64 {
    field(pid, "smaps_rollup", "Pss:").map_or(0, u64::from)
}

/// The first number behind `name` in a file of /proc.
fn field(pid: u32, file: &str, name: &str) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name))?.split_ascii_whitespace().next()?.parse().ok()
}
