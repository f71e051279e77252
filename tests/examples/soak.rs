//! A long life: `cargo xtask soak` runs this and prints its figures.
//!
//! One embedded kernel starts program after program, and then many at once. What the host holds is counted before and after: its memory,
//! descriptors and threads, its mounts and cgroups, and what the kernel of the operating system keeps for it. Growth is a failure where it
//! is our own, and a figure where the machine shares it.

use cofferdam_kernel::policy::Policy;
use cofferdam_kernel::{Execution, Kernel, Vm, VmSpec};
use cofferdam_sandbox_linux::LinuxPlane;
use std::fs;
use std::io::Write;
use std::time::Instant;

/// Starts after which what is allocated once has been.
const WARM_UP: usize = 300;

/// How much resident memory may differ after all starts: what an allocator keeps for itself.
const MOST_GROWTH_KIB: u64 = 4096;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// What is counted.
#[derive(Clone, Copy, Debug)]
struct Figures {
    resident_kib: u64,
    descriptors: u64,
    threads: u64,
    children: u64,
    mounts: u64,
    cgroups: u64,
    slab_kib: u64,
    unreclaimable_kib: u64,
}

impl Figures {
    fn now() -> Self {
        Self {
            resident_kib: field("/proc/self/status", "VmRSS:"),
            descriptors: count("/proc/self/fd"),
            threads: field("/proc/self/status", "Threads:"),
            children: children(),
            mounts: fs::read_to_string("/proc/self/mountinfo").map_or(0, |text| text.lines().count() as u64),
            cgroups: cgroups(),
            slab_kib: field("/proc/meminfo", "Slab:"),
            unreclaimable_kib: field("/proc/meminfo", "SUnreclaim:"),
        }
    }

    fn row(&self, what: &str) -> String {
        format!(
            "| {what} | {} | {} | {} | {} | {} | {} | {} | {} |",
            self.resident_kib,
            self.descriptors,
            self.threads,
            self.children,
            self.mounts,
            self.cgroups,
            self.slab_kib,
            self.unreclaimable_kib
        )
    }

    /// What grew that is ours alone.
    fn growth(&self, since: &Self) -> Vec<String> {
        let own = [
            ("KiB of resident memory", self.resident_kib, since.resident_kib + MOST_GROWTH_KIB),
            ("descriptors", self.descriptors, since.descriptors),
            // A blocking task's thread may come and go.
            ("threads", self.threads, since.threads + 2),
            ("children", self.children, since.children),
            ("mounts", self.mounts, since.mounts),
            ("cgroups", self.cgroups, since.cgroups),
        ];
        own.iter()
            .filter(|(_, now, most)| now > most)
            .map(|(what, now, most)| format!("{now} {what}, at most {most}"))
            .collect()
    }
}

fn field(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn count(path: &str) -> u64 {
    fs::read_dir(path).map_or(0, |entries| entries.count() as u64)
}

fn children() -> u64 {
    let own = std::process::id().to_string();
    let is_child = |entry: &fs::DirEntry| {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.split_ascii_whitespace().nth(1) == Some(&own))
    };
    fs::read_dir("/proc").map_or(0, |entries| entries.flatten().filter(is_child).count() as u64)
}

/// Cgroups of runs of this process.
fn cgroups() -> u64 {
    let name = format!("cofferdam-{}-", std::process::id());
    let (mut found, mut open) = (0, vec![std::path::PathBuf::from("/sys/fs/cgroup")]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                found += u64::from(entry.file_name().to_string_lossy().starts_with(&name));
                open.push(entry.path());
            }
        }
    }
    found
}

fn say(line: &str) {
    // A reader that has gone away is no reason to fail.
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let starts: usize = arguments.next().as_deref().unwrap_or("100000").parse()?;
    let at_once: usize = arguments.next().as_deref().unwrap_or("1000").parse()?;
    let kernel = Kernel::builder(LinuxPlane::new()?).build()?;
    let vm = kernel.create_vm(VmSpec::new(Policy::strict()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    say(
        "| after | resident KiB | descriptors | threads | children | mounts | cgroups | slab KiB | unreclaimable KiB |",
    );
    say("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    in_a_row(&vm, &runtime, WARM_UP)?;
    let before = Figures::now();
    say(&before.row(&format!("{WARM_UP} starts")));
    let begun = Instant::now();
    for part in 1..=10 {
        in_a_row(&vm, &runtime, starts / 10)?;
        say(&Figures::now().row(&format!("{} more", starts / 10 * part)));
    }
    let each = begun.elapsed().as_micros() / (starts.max(1) as u128);
    let mut faults = settled(&before);
    say(&format!("\n{starts} starts in a row: {each} µs each"));
    // What so many at once need at most is kept by the allocator; a second time needs no more.
    let mut most = before;
    for time in ["first", "second"] {
        let (started, ended) = runtime.block_on(together(&vm, at_once))?;
        say(&format!(
            "{at_once} sandboxes at once, the {time} time: all run after {started} ms, all ended {ended} ms later"
        ));
        if time == "second" {
            faults.extend(settled(&most));
        }
        let now = Figures::now();
        say(&now.row(&format!("{at_once} at once")));
        most.resident_kib = now.resident_kib;
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ").into()) }
}

fn in_a_row(vm: &Vm, runtime: &tokio::runtime::Runtime, times: usize) -> Outcome<()> {
    for _ in 0..times {
        let output = runtime.block_on(vm.command("/bin/true").output())?;
        if !output.success() {
            return Err(format!("{:?}", output.report.cause).into());
        }
    }
    Ok(())
}

/// What has grown, once what ends by itself had a moment to end.
fn settled(before: &Figures) -> Vec<String> {
    let mut faults = Vec::new();
    for _ in 0..100 {
        faults = Figures::now().growth(before);
        if faults.is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    faults
}

/// So many programs that all wait, until all run; then all end. Answers how long each took, in milliseconds.
async fn together(vm: &Vm, count: usize) -> Outcome<(u128, u128)> {
    let begun = Instant::now();
    let mut running: Vec<Execution> = Vec::with_capacity(count);
    for _ in 0..count {
        running.push(vm.command("/bin/sleep").arg("600").spawn().await?);
    }
    let started = begun.elapsed().as_millis();
    let begun = Instant::now();
    for one in &running {
        one.kill();
    }
    for one in &mut running {
        let report = one.wait().await;
        if report.cause.success() {
            return Err("a program that waits ended by itself".into());
        }
    }
    Ok((started, begun.elapsed().as_millis()))
}
