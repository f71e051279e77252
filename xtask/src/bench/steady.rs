//! `cargo xtask bench steady`: programs that are long under way, so that what counts is not the start but each call that they make.
//!
//! Every piece of work runs plain, in bubblewrap (which filters no calls unless told to), in bubblewrap with a filter of one instruction
//! that allows everything, which is the least that any filter costs, and in cofferdam, one after the other in turn.

use super::calls::WITHOUT_NAMESPACES;
use super::start::{BUBBLEWRAP, built_command};
use crate::workspace::{fresh_folder, say};
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
    let outcome = WORK.iter().try_for_each(|(name, line)| measure(name, line, &binary, &folder, rounds));
    let _ = std::fs::remove_dir_all(&folder);
    outcome
}

fn measure(name: &str, line: &str, binary: &str, folder: &Path, rounds: usize) -> Result<(), String> {
    let line = format!("{line}; times");
    let work = ["sh", "-c", &line];
    let place = folder.to_string_lossy();
    let workspace = ["run", "--workspace", &place];
    let mut subjects = vec![("plain", work.to_vec())];
    if Command::new("bwrap").arg("--version").output().is_ok() {
        subjects.push(("bubblewrap", [&BUBBLEWRAP[..], &work].concat()));
        let filtered = ["sh", "-c", "exec \"$@\" 9< allow.bpf", "sh"];
        let (program, options) = BUBBLEWRAP.split_at(1);
        subjects.push((
            "bubblewrap, a filter that allows all",
            [&filtered, program, &["--seccomp", "9"], options, &work].concat(),
        ));
    } else {
        say("bubblewrap is not installed: no comparison with it");
    }
    subjects.push(("cofferdam run", [&[binary, "run", "--"], &work[..]].concat()));
    subjects.push(("cofferdam run --workspace", [&[binary], &workspace[..], &["--"], &work].concat()));
    let bare =
        [&["unshare"][..], &WITHOUT_NAMESPACES, &[binary, "run", "--isolation", "landlock", "--"], &work].concat();
    subjects.push(("cofferdam run, without namespaces", bare));
    let mut times: Vec<Vec<f64>> = vec![Vec::with_capacity(rounds); subjects.len()];
    let mut processor: Vec<Vec<f64>> = times.clone();
    for round in 0..rounds + WARM_UP {
        for turn in 0..subjects.len() {
            let at = (turn + round) % subjects.len();
            let (Some((name, line)), Some(times)) = (subjects.get(at), times.get_mut(at)) else { continue };
            let Some(processor) = processor.get_mut(at) else { continue };
            let line: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
            let (time, used) = once(&line, folder).map_err(|why| format!("{name}: {why}"))?;
            if round >= WARM_UP {
                times.push(time);
                processor.push(used);
            }
        }
    }
    say(&format!("\n| {name} | median ms | × plain | processor ms | × plain | p25–p75 of its ratios |"));
    say("| --- | --- | --- | --- | --- | --- |");
    let plain = [&times, &processor].map(|of| of.first().cloned().unwrap_or_default());
    for (((name, _), time), processor) in subjects.iter().zip(times).zip(processor) {
        let [plain_time, plain_processor] = &plain;
        let over =
            |own: &[f64], plain: &[f64]| quartiles(own.to_vec()).1 / quartiles(plain.to_vec()).1.max(f64::MIN_POSITIVE);
        // A ratio for each round: what the machine did meanwhile, both had to bear.
        let ratios = processor.iter().zip(plain_processor).map(|(own, plain)| own / plain.max(f64::MIN_POSITIVE));
        let (low, _, high) = quartiles(ratios.collect());
        say(&format!(
            "| {name} | {:.0} | {:.2} | {:.0} | {:.3} | {low:.3}–{high:.3} |",
            quartiles(time.clone()).1,
            over(&time, plain_time),
            quartiles(processor.clone()).1,
            over(&processor, plain_processor)
        ));
    }
    Ok(())
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

/// The first quartile, the median, and the third.
fn quartiles(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |share: usize| values.get(values.len() * share / 4).copied().unwrap_or(0.0);
    (at(1), at(2), at(3))
}

#[cfg(test)]
mod tests {
    use super::{milliseconds, quartiles};

    #[test]
    fn what_a_shell_tells_of_times_is_summed() {
        assert_eq!(milliseconds("0m0.350000s 1m1.250s"), Some(61_600.0));
        assert_eq!(milliseconds("words"), None);
    }

    #[test]
    fn quartiles_are_those_of_the_sorted_values() {
        assert_eq!(quartiles(vec![4.0, 1.0, 3.0, 2.0]), (2.0, 3.0, 4.0));
        assert_eq!(quartiles(vec![]), (0.0, 0.0, 0.0));
    }
}
