//! `cargo xtask bench steady`: programs that are long under way, so that what counts is not the start but each call that they make.
//!
//! Every piece of work runs plain, in bubblewrap (which filters no calls unless told to), in bubblewrap with a filter of one instruction
//! that allows everything, which is the least that any filter costs, and in cofferdam, one after the other in turn.

use super::calls::WITHOUT_NAMESPACES;
use super::peers::BUBBLEWRAP;
use super::rounds::{Subject, measure, quartiles};
use super::start::built_command;
use super::table::{Cell, Table};
use crate::workspace::{fresh_folder, say};
use std::cell::RefCell;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Runs that are not counted.
const WARM_UP: usize = 1;

/// `BPF_RET | BPF_K` with SECCOMP_RET_ALLOW, as `struct sock_filter`.
const ALLOW_EVERYTHING: [u8; 8] = [0x06, 0, 0, 0, 0, 0, 0xff, 0x7f];

/// Pieces of work, as lines for a shell: each takes long enough for a start not to count.
const WORK: [(&str, &str); 4] = [
    ("dd bs=1", "dd if=/dev/zero of=/dev/null bs=1 count=3000000 status=none"),
    ("find /usr", "for i in 1 2; do find /usr > /dev/null 2>&1 || :; done"),
    ("fork and exec", "i=0; while [ $i -lt 1000 ]; do /bin/true; i=$((i + 1)); done"),
    (
        "gcc",
        "set -e; d=$(mktemp -d); for i in 1 2 3 4 5 6 7 8; do \
         printf '#include <stdio.h>\\n#include <stdlib.h>\\n#include <string.h>\\n#include <sys/socket.h>\\n\
         int main(void) { return puts(\"x\"); }\\n' | gcc -O1 -x c -o $d/out -; done; rm -r $d",
    ),
];

pub(super) fn run(rounds: usize) -> Result<(), String> {
    let binary = built_command()?;
    let folder = fresh_folder("steady")?;
    std::fs::write(folder.join("allow.bpf"), ALLOW_EVERYTHING).map_err(|error| error.to_string())?;
    let mut table = Table::new(
        "steady",
        "Programs that are long under way: time, and processor time of the programs alone, ms",
        &["work", "subject", "median", "× plain", "processor", "its × plain", "p25–p75 of that"],
    );
    let outcome = WORK.iter().try_for_each(|(name, line)| one(&mut table, name, line, &binary, &folder, rounds));
    let _ = std::fs::remove_dir_all(&folder);
    outcome?;
    table.emit()
}

/// One piece of work by everybody.
fn one(table: &mut Table, name: &str, line: &str, binary: &str, folder: &Path, rounds: usize) -> Result<(), String> {
    let line = format!("{line}; times");
    let lines = subjects(&["sh", "-c", &line], binary, folder);
    let processor: Vec<RefCell<Vec<f64>>> = lines.iter().map(|_| RefCell::default()).collect();
    let turns = lines.iter().zip(&processor).map(|((name, line), processor)| {
        Subject::new(*name, move || {
            let (time, used) = once(line, folder)?;
            processor.borrow_mut().push(used);
            Ok(time)
        })
    });
    let times = measure(turns.collect(), rounds, WARM_UP)?;
    let processor: Vec<Vec<f64>> =
        processor.into_iter().map(|all| all.into_inner().into_iter().skip(WARM_UP).collect()).collect();
    let plain = times.first().map(|figures| quartiles(&figures.rounds)[1]).unwrap_or_default().max(f64::MIN_POSITIVE);
    let plain_processor = processor.first().cloned().unwrap_or_default();
    for (figures, own) in times.iter().zip(&processor) {
        let (time, used) = (quartiles(&figures.rounds)[1], quartiles(own)[1]);
        // A ratio for each round: what the machine did meanwhile, both had to bear.
        let ratios: Vec<f64> = own.iter().zip(&plain_processor).map(|(own, plain)| own / plain.max(1e-9)).collect();
        let [low, _, high] = quartiles(&ratios);
        table.row(vec![
            name.into(),
            figures.name.as_str().into(),
            Cell::Number(time, 0),
            Cell::Number(time / plain, 2),
            Cell::Number(used, 0),
            Cell::Number(used / quartiles(&plain_processor)[1].max(1e-9), 3),
            Cell::Spread(low, high, 3),
        ]);
    }
    Ok(())
}

/// The command lines that do `work`.
fn subjects(work: &[&str], binary: &str, folder: &Path) -> Vec<(&'static str, Vec<String>)> {
    let place = folder.to_string_lossy();
    let workspace = ["run", "--workspace", &place];
    let mut subjects = vec![("plain", work.to_vec())];
    if Command::new("bwrap").arg("--version").output().is_ok() {
        subjects.push(("bubblewrap", [&BUBBLEWRAP[..], work].concat()));
        let filtered = ["sh", "-c", "exec \"$@\" 9< allow.bpf", "sh"];
        let (program, options) = BUBBLEWRAP.split_at(1);
        subjects.push((
            "bubblewrap, a filter that allows all",
            [&filtered, program, &["--seccomp", "9"], options, work].concat(),
        ));
    } else {
        say("bubblewrap is not installed: no comparison with it");
    }
    subjects.push(("cofferdam run", [&[binary, "run", "--"], work].concat()));
    subjects.push(("cofferdam run --workspace", [&[binary], &workspace[..], &["--"], work].concat()));
    let bare =
        [&["unshare"][..], &WITHOUT_NAMESPACES, &[binary, "run", "--isolation", "landlock", "--"], work].concat();
    subjects.push(("cofferdam run, without namespaces", bare));
    let owned = |line: Vec<&str>| line.into_iter().map(str::to_owned).collect();
    subjects.into_iter().map(|(name, line)| (name, owned(line))).collect()
}

/// Runs it, and tells the milliseconds that it took, and those of processor time that the shell's children had, which on a busy machine
/// tell more. What a supervisor does for them is in the former alone.
fn once(line: &[String], folder: &Path) -> Result<(f64, f64), String> {
    let (program, arguments) = line.split_first().ok_or("nothing to run")?;
    let start = Instant::now();
    let told = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    let time = start.elapsed().as_secs_f64() * 1000.0;
    let text = String::from_utf8_lossy(&told.stdout);
    let processor = text.lines().last().and_then(milliseconds).filter(|_| told.status.success());
    let failed =
        || format!("ended with {} and printed `{text}`: {}", told.status, String::from_utf8_lossy(&told.stderr));
    Ok((time, processor.ok_or_else(failed)?))
}

/// The sum of what the last line of the shell's `times` tells: `0m0.350s 0m1.260s`.
fn milliseconds(line: &str) -> Option<f64> {
    line.split_ascii_whitespace().try_fold(0.0, |sum, word| {
        let (minutes, seconds) = word.strip_suffix('s')?.split_once('m')?;
        let (minutes, seconds): (f64, f64) = (minutes.parse().ok()?, seconds.parse().ok()?);
        Some(sum + (minutes * 60.0 + seconds) * 1000.0)
    })
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn what_a_shell_tells_of_times_is_summed() {
        assert_eq!(milliseconds("0m0.350000s 1m1.250s"), Some(61_600.0));
        assert_eq!(milliseconds("words"), None);
    }
}
