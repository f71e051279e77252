//! `cargo xtask bench network`: connections by name out of a sandbox against the same over loopback directly, and what a policy that
//! names hosts adds to a start; beside pasta and slirp4netns, where they are installed.

use super::network_https;
use super::network_peers;
use super::rounds::{Figures, Subject, measure, quartiles};
use super::start::{built_command, once};
use super::table::{Cell, Table};
use crate::workspace::{built, fresh_folder, run as tool, say};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Bytes each way in a round.
const BYTES: &str = "1073741824";
/// Connections of a round, of which the median counts.
const CONNECTIONS: &str = "200";
/// Starts for each round of the others: what differs is small beside what the machine does to each.
const STARTS: usize = 60;

/// What is measured, its unit, and whether more is better.
const KINDS: [(&str, &str, &str); 3] = [
    ("receive", "network-receive", "Gbit/s from the host; more is better"),
    ("send", "network-send", "Gbit/s to the host; more is better"),
    ("connect", "network-connect", "connect, ask and be answered, µs; less is better"),
];

const HEAD: [&str; 5] = ["subject", "median", "p25–p75", "× direct", "its p25–p75"];

/// The server, which ends with its input.
pub(super) struct Server {
    child: Child,
    /// What it told on its first line.
    pub(super) port: String,
}

impl Server {
    /// Starts `command`, and waits until it tells its port.
    pub(super) fn start(command: &mut Command) -> Result<Self, String> {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| format!("{}: {error}", command.get_program().to_string_lossy()))?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or("the server has no output")?;
        BufReader::new(stdout).read_line(&mut line).map_err(|error| error.to_string())?;
        Ok(Self { child, port: line.trim().to_owned() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Runs the benchmark.
pub(super) fn run(rounds: usize) -> Result<(), String> {
    tool("cargo", &["build", "--quiet", "--release", "--package", "cofferdam-tests", "--example", "network_load"])?;
    let (binary, load) = (built_command()?, built("release/examples/network_load"));
    let server = Server::start(Command::new(&load).arg("serve"))?;
    let folder = fresh_folder("network")?;
    let outcome = KINDS
        .iter()
        .try_for_each(|kind| transfers(kind, &binary, &load, &server.port, rounds))
        .and_then(|()| network_https::run(&binary, &folder, rounds))
        .and_then(|()| starts(&binary, &folder, rounds * STARTS));
    let _ = std::fs::remove_dir_all(&folder);
    outcome
}

fn transfers(
    (kind, name, what): &(&str, &'static str, &str),
    binary: &str,
    load: &str,
    port: &str,
    rounds: usize,
) -> Result<(), String> {
    let count = if *kind == "connect" { CONNECTIONS } else { BYTES };
    let direct = [load, kind, "127.0.0.1", port, count].map(str::to_owned).to_vec();
    let (named, dialled) = (format!("load.test:{port}"), format!("127.0.0.1:{port}"));
    let folder = Path::new(load).parent().map_or_else(|| ".".to_owned(), |folder| folder.display().to_string());
    let leads = ["--resolve", "load.test=127.0.0.1", "--allow-net", &named, "--allow-net", &dialled];
    let options = [&["run", "--workspace", &folder][..], &leads].concat();
    let inside: Vec<String> = [&[binary][..], &options, &["--no-tty", "--", load, kind, "load.test", port, count]]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect();
    let figure = |line: Vec<String>| move || told(&line, count, kind);
    let mut subjects =
        vec![Subject::new("direct", figure(direct)), Subject::new("by name out of a sandbox", figure(inside))];
    let peers = network_peers::found(load, kind, port, count);
    // One of theirs that breaks now and then has no figure for that round, and ends nothing.
    let peer = |name: &'static str, line: Vec<String>| {
        Subject::new(name, move || {
            Ok(told(&line, count, kind).unwrap_or_else(|why| {
                say(&format!("{name} broke in a round: {why}"));
                f64::NAN
            }))
        })
    };
    subjects.extend(peers.into_iter().map(|(name, line)| peer(name, line)));
    let figures = measure(subjects, rounds, 1)?;
    let mut table = Table::new(name, *what, &HEAD);
    against_first(&mut table, &figures, if *kind == "connect" { 1 } else { 2 });
    table.emit()
}

/// What the load prints, as gigabits a second where it is the time for bytes.
fn told(line: &[String], count: &str, kind: &str) -> Result<f64, String> {
    let (program, arguments) = line.split_first().ok_or("nothing to run")?;
    let output =
        Command::new(program).args(arguments).stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let number: f64 = text
        .parse()
        .map_err(|_| format!("it printed `{text}` and said {}", String::from_utf8_lossy(&output.stderr)))?;
    let bytes: f64 = count.parse().unwrap_or_default();
    Ok(if kind == "connect" { number } else { bytes * 8.0 / number / 1e9 })
}

fn starts(binary: &str, folder: &Path, rounds: usize) -> Result<(), String> {
    let line = |options: &[&str]| -> Vec<String> {
        [&[binary, "run"], options, &["--", "/bin/true"]].concat().into_iter().map(str::to_owned).collect()
    };
    let timed = |name: &str, line: Vec<String>| Subject::new(name, move || once(&line, folder).map(|time| time as f64));
    let named = ["--allow-net", "api.example.com:443"];
    let subjects = vec![timed("network.mode = \"deny\"", line(&[])), timed("one host by name", line(&named))];
    let figures = measure(subjects, rounds, STARTS)?;
    let mut table = Table::new("network-start", "Start-to-exit of `/bin/true`, µs", &HEAD);
    against_first(&mut table, &figures, 0);
    if let [without, with] = &figures[..] {
        let added: Vec<f64> = with.rounds.iter().zip(&without.rounds).map(|(with, without)| with - without).collect();
        let [low, median, high] = quartiles(&added);
        let (figure, range) = (Cell::Number(median, 0), Cell::Spread(low, high, 0));
        table.row(vec!["what it adds, pair by pair".into(), figure, range, Cell::None, Cell::None]);
    }
    table.emit()
}

/// Rows with the ratios to the first subject, round by round.
pub(super) fn against_first(table: &mut Table, all: &[Figures], decimals: usize) {
    let Some(first) = all.first() else { return };
    for own in all {
        let own_rounds: Vec<f64> = own.rounds.iter().copied().filter(|figure| !figure.is_nan()).collect();
        let [low, median, high] = quartiles(&own_rounds);
        let ratios = own.rounds.iter().zip(&first.rounds).map(|(own, first)| own / first.max(1e-9));
        let ratios: Vec<f64> = ratios.filter(|ratio| !ratio.is_nan()).collect();
        let [less, ratio, more] = quartiles(&ratios);
        table.row(vec![
            own.name.as_str().into(),
            Cell::Number(median, decimals),
            Cell::Spread(low, high, decimals),
            Cell::Number(ratio, 2),
            Cell::Spread(less, more, 2),
        ]);
    }
}
