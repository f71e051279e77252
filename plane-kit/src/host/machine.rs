//! Figures of the machine for a guard, from proc(5) and the own control group.

use crate::proc_text;
use cofferdam_bridge::guard::{MachineFigures, MachineSource};
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Processor time is measured between looks that are at least so far apart; between them the last figure stands.
const APART: Duration = Duration::from_millis(200);

/// Reads what /proc tells. In a control group of version 2 with a limit on memory, that limit is what there is.
#[derive(Debug)]
pub struct HostMachine {
    log: Option<PathBuf>,
    last: Mutex<Option<Look>>,
}

/// Processor time at one look.
#[derive(Clone, Copy, Debug)]
struct Look {
    when: Instant,
    busy: u64,
    all: u64,
    percent: Option<u64>,
}

impl Default for HostMachine {
    fn default() -> Self {
        Self::new()
    }
}

impl HostMachine {
    /// A machine without a log.
    pub fn new() -> Self {
        Self { log: None, last: Mutex::default() }
    }

    /// Also tells how much is free where `path` lies.
    #[must_use]
    pub fn log_at(mut self, path: impl Into<PathBuf>) -> Self {
        self.log = Some(path.into());
        self
    }

    fn cpu_percent(&self) -> Option<u64> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(look) = last.as_ref().filter(|look| look.when.elapsed() < APART) {
            return look.percent;
        }
        let (busy, all) = processor_time(&fs::read_to_string("/proc/stat").ok()?)?;
        let percent = last.and_then(|before| {
            let passed = all.checked_sub(before.all).filter(|passed| *passed > 0)?;
            Some(busy.saturating_sub(before.busy) * 100 / passed)
        });
        *last = Some(Look { when: Instant::now(), busy, all, percent });
        percent
    }

    fn log_bytes_free(&self) -> Option<u64> {
        let told = nix::sys::statvfs::statvfs(self.log.as_ref()?).ok()?;
        // Systems differ in how wide these are.
        u64::try_from(u128::from(told.blocks_available()) * u128::from(told.fragment_size())).ok()
    }
}

impl MachineSource for HostMachine {
    fn measure(&self) -> MachineFigures {
        let mut figures = MachineFigures::default();
        figures.cpu_percent = self.cpu_percent();
        figures.memory_percent = memory_percent();
        figures.cpu_pressure_percent = pressure("cpu");
        figures.memory_pressure_percent = pressure("memory");
        figures.io_pressure_percent = pressure("io");
        figures.zombies = zombies();
        figures.log_bytes_free = self.log_bytes_free();
        figures
    }
}

/// Time in which processors worked, and all time, in ticks (proc(5), /proc/stat). Waiting for disks is not work.
fn processor_time(text: &str) -> Option<(u64, u64)> {
    let mut numbers = text.lines().next()?.strip_prefix("cpu ")?.split_whitespace().map(str::parse::<u64>);
    // user nice system idle iowait irq softirq steal; what guests use is in the first two already.
    let mut next = || numbers.next()?.ok();
    let (user, nice, system, idle) = (next()?, next()?, next()?, next()?);
    let rest: Vec<u64> = std::iter::from_fn(&mut next).take(4).collect();
    let (waiting, others) = (rest.first().copied().unwrap_or(0), rest.iter().skip(1).sum::<u64>());
    let busy = user + nice + system + others;
    Some((busy, busy + idle + waiting))
}

fn memory_percent() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let kibibytes = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().trim_end_matches(" kB").parse::<u64>().ok()
        };
        let (all, available) = (kibibytes("MemTotal:")?, kibibytes("MemAvailable:")?);
        share(all.saturating_sub(available), all)
    });
    machine.into_iter().chain(own_group().as_deref().and_then(group_percent)).max()
}

/// The own control group of version 2.
fn own_group() -> Option<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(PathBuf::from("/sys/fs/cgroup").join(path))
}

/// Memory that cannot be had back at once, against the limit of the group; nothing without one.
fn group_percent(group: &std::path::Path) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(group.join(name)).ok();
    let limit = read("memory.max")?.trim().parse::<u64>().ok()?;
    let used = read("memory.current")?.trim().parse::<u64>().ok()?;
    let statistics = read("memory.stat").unwrap_or_default();
    let cached = statistics.lines().find_map(|line| line.strip_prefix("inactive_file ")?.parse::<u64>().ok());
    share(used.saturating_sub(cached.unwrap_or(0)), limit)
}

fn share(part: u64, all: u64) -> Option<u64> {
    part.saturating_mul(100).checked_div(all)
}

/// The share of the last ten seconds in which somebody waited, rounded down.
fn pressure(what: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/pressure/{what}")).ok()?;
    let average = text.lines().next()?.split_whitespace().find_map(|word| word.strip_prefix("avg10="))?;
    average.split('.').next()?.parse().ok()
}

/// Children of this process that have ended and were not waited for, whichever thread made them.
fn zombies() -> Option<u64> {
    let mut count = 0;
    for thread in fs::read_dir("/proc/self/task").ok()?.flatten() {
        let children = fs::read_to_string(thread.path().join("children")).ok()?;
        for child in children.split_whitespace() {
            // The name before the state may hold anything but is followed by the last parenthesis (proc(5)).
            let stat = proc_text::read(format!("/proc/{child}/stat")).unwrap_or_default();
            let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
            count += u64::from(state.is_some_and(|state| state.starts_with('Z')));
        }
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r2_processor_time_is_measured_between_two_looks() {
        let machine = HostMachine::new().log_at("/");
        let first = machine.measure();
        assert_eq!(first.cpu_percent, None);
        assert!(first.memory_percent.is_some_and(|percent| percent <= 100), "{first:?}");
        assert!(first.log_bytes_free.is_some(), "{first:?}");
        machine.last.lock().unwrap().as_mut().unwrap().when -= APART;
        let end = Instant::now() + Duration::from_secs(20);
        // Ticks are hundredths of a second.
        while machine.measure().cpu_percent.is_none() {
            assert!(Instant::now() < end, "no time passes");
            machine.last.lock().unwrap().as_mut().unwrap().when -= APART;
        }
        assert!(machine.measure().cpu_percent.is_some_and(|percent| percent <= 100));
    }

    #[test]
    fn processors_that_wait_for_disks_do_not_work() {
        assert_eq!(processor_time("cpu  10 20 30 40 50 1 2 3 0 0\ncpu0 1"), Some((66, 156)));
        assert_eq!(processor_time("intr 1"), None);
    }

    #[test]
    fn r3_zombies_are_those_of_this_process_alone() {
        let before = zombies().unwrap();
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        while zombies().unwrap() <= before {
            assert!(Instant::now() < end, "the child does not end");
            std::thread::yield_now();
        }
        child.wait().unwrap();
    }
}
