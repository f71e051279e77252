//! Figures about this machine and this process's own children, from proc(5).

use cofferdam_bridge::figures::{FigureBridge, Figures};
use std::fs;

/// Reads the figures of the machine that this process runs on. What cannot be read is left out.
///
/// | name | meaning |
/// | --- | --- |
/// | `memory_total_bytes`, `memory_available_bytes` | `/proc/meminfo` |
/// | `cpu_busy_ms`, `cpu_total_ms` | of all processors since the machine started, in hundredths of a second times ten (`/proc/stat`) |
/// | `load_hundredths` | the load of the last minute, times 100 |
/// | `cpu_pressure_hundredths`, `memory_pressure_hundredths`, `io_pressure_hundredths` | percent of the last ten seconds in which some task waited, times 100 (`/proc/pressure`) |
/// | `own_children`, `own_zombies` | children of this process, and those among them that have ended and are not reaped |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostFigures;

impl FigureBridge for HostFigures {
    fn figures(&self) -> Figures {
        let mut figures = Figures::new();
        let mut add = |name: &str, value: Option<u64>| figures.extend(value.map(|value| (name.to_owned(), value)));
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let memory = read("/proc/meminfo");
        add("memory_total_bytes", kilobytes(&memory, "MemTotal:"));
        add("memory_available_bytes", kilobytes(&memory, "MemAvailable:"));
        let times = processor_times(&read("/proc/stat"));
        add("cpu_busy_ms", times.map(|(busy, _)| busy));
        add("cpu_total_ms", times.map(|(_, total)| total));
        add("load_hundredths", read("/proc/loadavg").split(' ').next().and_then(hundredths));
        for name in ["cpu", "memory", "io"] {
            add(&format!("{name}_pressure_hundredths"), pressure(&read(&format!("/proc/pressure/{name}"))));
        }
        let children = children();
        add("own_children", children.map(|(all, _)| all));
        add("own_zombies", children.map(|(_, zombies)| zombies));
        figures
    }
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Busy and whole time in milliseconds. The unit is `USER_HZ`, which is a hundredth of a second on every architecture that we run on.
fn processor_times(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    // Times of guests (the ninth and tenth) are counted among the user's already.
    let times: Vec<u64> = line.split_whitespace().take(8).filter_map(|word| word.parse().ok()).collect();
    let total: u64 = times.iter().sum();
    let idle = times.get(3)? + times.get(4).unwrap_or(&0);
    Some((total.saturating_sub(idle) * 10, total * 10))
}

/// `0.52` as 52.
fn hundredths(text: &str) -> Option<u64> {
    let (whole, part) = text.trim().split_once('.')?;
    Some(whole.parse::<u64>().ok()? * 100 + part.get(..2)?.parse::<u64>().ok()?)
}

fn pressure(text: &str) -> Option<u64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    some.split(' ').find_map(|word| word.strip_prefix("avg10=")).and_then(hundredths)
}

/// How many children this process has, and how many of them are zombies.
fn children() -> Option<(u64, u64)> {
    let (mut all, mut zombies) = (0, 0);
    for task in fs::read_dir("/proc/self/task").ok()?.flatten() {
        let list = fs::read_to_string(task.path().join("children")).ok()?;
        for child in list.split_whitespace() {
            all += 1;
            let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            // The name in parentheses may hold anything (proc_pid_stat(5)).
            let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
            zombies += u64::from(state == Some("Z"));
        }
    }
    Some((all, zombies))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_figures_and_a_child_is_counted() {
        let before = HostFigures.figures();
        assert!(before["memory_total_bytes"] >= before["memory_available_bytes"], "{before:?}");
        assert!(before["cpu_total_ms"] >= before["cpu_busy_ms"]);
        if children().is_some() {
            let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
            // Other tests of this process have children, too.
            assert!(children().unwrap().0 >= 1);
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn the_words_of_proc() {
        assert_eq!(kilobytes("MemTotal:  12 kB\n", "MemTotal:"), Some(12 * 1024));
        assert_eq!(processor_times("cpu  10 0 20 60 10 0 0 0 5 0\ncpu0 1"), Some((300, 1000)));
        assert_eq!(pressure("some avg10=1.25 avg60=0.00\nfull avg10=0.00"), Some(125));
        assert_eq!((hundredths("0.07 1"), hundredths("x"), processor_times("")), (Some(7), None, None));
    }
}
