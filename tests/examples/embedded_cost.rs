//! What sandboxes cost a host that embeds the kernel. `cargo xtask bench` runs this and reads its figures.
//!
//! ```text
//! embedded_cost start ROUNDS MEBIBYTES        µs from start to exit of /bin/true: plain, cold, pooled; one line for a host as it is,
//!                                             one for a host that has touched so much memory
//! embedded_cost crowd LIVE ROUNDS             the same, one line, beside so many sandboxes that live
//! embedded_cost throughput HOW WORKERS MS     starts per second in that time; HOW: plain, cold, pooled, burst
//! embedded_cost idle COUNT                    KiB that the host and the launchers hold for each sandbox that waits
//! ```
//!
//! Times are told as `median first-quartile third-quartile` for each subject, in a line.

use cofferdam_kernel::policy::Policy;
use cofferdam_kernel::{Execution, Kernel, Vm, VmSpec};
use cofferdam_sandbox_linux::{LinuxPlane, PoolOptions};
use std::error::Error;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

type Outcome<T> = Result<T, Box<dyn Error>>;

const WARM_UP: usize = 20;

/// Between two rounds the pool makes the launcher that the next one uses.
const REFILL: Duration = Duration::from_millis(12);

/// Launchers that a burst finds ready.
const BURST: usize = 48;

/// How long a burst's launchers take to be made, at most.
const FILLED: Duration = Duration::from_millis(400);

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let word = |at: usize| arguments.get(at).map(String::as_str).unwrap_or_default();
    let number = |at: usize| word(at).parse::<usize>();
    let lines = match word(0) {
        "start" => start(number(1)?, number(2)?)?,
        "crowd" => crowd(number(1)?, number(2)?)?,
        "throughput" => throughput(word(1), number(2)?, Duration::from_millis(number(3)?.try_into()?))?.to_string(),
        "idle" => idle(number(1)?)?.to_string(),
        other => return Err(format!("there is no measurement `{other}`").into()),
    };
    writeln!(std::io::stdout(), "{lines}")?;
    Ok(())
}

/// A VM of the policy that allows least, on a plane with a pool of so many.
fn vm(pool: usize) -> Outcome<Vm> {
    let plane = LinuxPlane::new()?;
    let plane = if pool > 0 { plane.pooled(PoolOptions::new(pool))? } else { plane };
    Ok(Kernel::builder(plane).build()?.create_vm(VmSpec::new(Policy::strict()))?)
}

fn runtime() -> Outcome<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn start(rounds: usize, mebibytes: usize) -> Outcome<String> {
    let mut host = Vec::new();
    let mut lines = Vec::new();
    for size in [0, mebibytes] {
        host.resize(size << 20, 1_u8);
        lines.push(format!("{} {}", host.len() >> 20, subjects(rounds)?));
    }
    Ok(lines.join("\n"))
}

fn crowd(live: usize, rounds: usize) -> Outcome<String> {
    let (vm, runtime) = (vm(0)?, runtime()?);
    let crowd = sleepers(&vm, &runtime, live)?;
    let line = subjects(rounds)?;
    drop(crowd);
    Ok(line)
}

/// Plain, cold and pooled, one after the other in turn.
fn subjects(rounds: usize) -> Outcome<String> {
    let (cold, warm, runtime) = (vm(0)?, vm(2)?, runtime()?);
    let mut times = [const { Vec::new() }; 3];
    for round in 0..rounds + WARM_UP {
        let outside = start_plain()?;
        let made = runtime.block_on(start_in(&cold))?;
        std::thread::sleep(REFILL);
        let now = [outside, made, runtime.block_on(start_in(&warm))?];
        if round >= WARM_UP {
            times.iter_mut().zip(now).for_each(|(times, now)| times.push(now));
        }
    }
    let told: Vec<String> = times.iter_mut().map(|times| quartiles(times)).collect();
    Ok(told.join(" "))
}

/// Starts per second: `workers` threads start one after the other for `time`, or through one burst after the other.
fn throughput(how: &str, workers: usize, time: Duration) -> Outcome<u64> {
    let vm = match how {
        "pooled" => vm(8 * workers)?,
        "burst" => vm(BURST)?,
        _ => vm(0)?,
    };
    let once = |runtime: &Runtime| {
        let done = if how == "plain" { start_plain().is_ok() } else { runtime.block_on(start_in(&vm)).is_ok() };
        if done { Ok(()) } else { Err("a start failed") }
    };
    if how != "burst" {
        std::thread::sleep(FILLED.min(time));
        let begun = Instant::now();
        let done = work(workers, &once, |_| begun.elapsed() < time)?;
        return Ok(done * 1000 / u64::try_from(begun.elapsed().as_millis())?.max(1));
    }
    let (mut done, mut spent) = (0, Duration::ZERO);
    while spent < time / 2 {
        std::thread::sleep(FILLED);
        let begun = Instant::now();
        done += work(workers, &once, |done| done < BURST as u64)?;
        spent += begun.elapsed();
    }
    Ok(done * 1000 / u64::try_from(spent.as_millis())?.max(1))
}

/// Lets threads do `once` as long as `more` says, given how many were begun; answers how many were done.
fn work(
    workers: usize,
    once: &(impl Fn(&Runtime) -> Result<(), &'static str> + Sync),
    more: impl Fn(u64) -> bool + Sync,
) -> Outcome<u64> {
    let (begun, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let Ok(runtime) = runtime() else { return failed.store(true, Ordering::Relaxed) };
                while more(begun.fetch_add(1, Ordering::Relaxed)) {
                    if once(&runtime).is_err() {
                        return failed.store(true, Ordering::Relaxed);
                    }
                }
                begun.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    if failed.load(Ordering::Relaxed) { Err("a start failed".into()) } else { Ok(begun.load(Ordering::Relaxed)) }
}

/// KiB for each of `count` sandboxes in which a program waits: what the host has grown by, and the launchers.
fn idle(count: usize) -> Outcome<f64> {
    let (vm, runtime) = (vm(0)?, runtime()?);
    let first = sleepers(&vm, &runtime, 1)?;
    let before = proportional_set(std::process::id()) + launchers();
    let others = sleepers(&vm, &runtime, count)?;
    let after = proportional_set(std::process::id()) + launchers();
    drop((first, others));
    Ok(after.saturating_sub(before) as f64 / count.max(1) as f64)
}

/// Sandboxes in which a program sleeps, until they are dropped.
fn sleepers(vm: &Vm, runtime: &Runtime, count: usize) -> Outcome<Vec<Execution>> {
    let started = (0..count).map(|_| runtime.block_on(async { vm.command("/bin/sleep").arg("1000").spawn().await }));
    let started = started.collect::<Result<Vec<_>, _>>()?;
    std::thread::sleep(Duration::from_millis(200));
    Ok(started)
}

/// Of all our children, in KiB: launchers and the process that clears up.
fn launchers() -> u64 {
    let own = format!("PPid:\t{}\n", std::process::id());
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let ours = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|text| text.contains(&own));
    numbers.filter(ours).map(proportional_set).sum()
}

/// Memory of a process in KiB, what it shares divided among all that share it.
fn proportional_set(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|value| value.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn start_plain() -> std::io::Result<u128> {
    let start = Instant::now();
    Command::new("/bin/true").stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    Ok(start.elapsed().as_micros())
}

async fn start_in(vm: &Vm) -> Outcome<u128> {
    let start = Instant::now();
    let output = vm.command("/bin/true").output().await?;
    let time = start.elapsed().as_micros();
    if output.report.cause.success() { Ok(time) } else { Err(format!("{:?}", output.report.cause).into()) }
}

fn quartiles(times: &mut [u128]) -> String {
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 4).copied().unwrap_or(0);
    format!("{} {} {}", at(2), at(1), at(3))
}
