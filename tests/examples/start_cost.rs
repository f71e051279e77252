//! What starting costs a host that embeds the kernel: `cargo xtask bench` runs this and reads its figures.
//!
//! The host starts `/bin/true` in turn without a sandbox, in one made for it, and in one from a pool; first as it is, then with memory
//! that it has touched: the cost must not grow with the host. `start_cost ROUNDS MEBIBYTES` prints a line for each host: its size in
//! MiB, then median, first and third quartile in microseconds of each subject in that order.

use cofferdam_kernel::policy::Policy;
use cofferdam_kernel::{Kernel, Vm, VmSpec};
use cofferdam_sandbox_linux::{LinuxPlane, PoolOptions};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const WARM_UP: usize = 20;

/// Between two rounds the pool makes the launcher that the next one uses.
const REFILL: Duration = Duration::from_millis(12);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let rounds: usize = arguments.next().as_deref().unwrap_or("200").parse()?;
    let mebibytes: usize = arguments.next().as_deref().unwrap_or("1024").parse()?;
    let cold = Kernel::builder(LinuxPlane::new()?).build()?;
    let warm = Kernel::builder(LinuxPlane::new()?.pooled(PoolOptions::new(2))?).build()?;
    let (cold, warm) = (cold.create_vm(VmSpec::new(Policy::strict()))?, warm.create_vm(VmSpec::new(Policy::strict()))?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut host = Vec::new();
    let mut lines = Vec::new();
    for size in [0, mebibytes] {
        host.resize(size << 20, 1_u8);
        let mut times = [const { Vec::new() }; 3];
        for round in 0..rounds + WARM_UP {
            let now = [start_plain()?, runtime.block_on(start_in(&cold))?, {
                std::thread::sleep(REFILL);
                runtime.block_on(start_in(&warm))?
            }];
            if round >= WARM_UP {
                times.iter_mut().zip(now).for_each(|(times, now)| times.push(now));
            }
        }
        let told: Vec<String> = times.iter_mut().map(|times| quartiles(times)).collect();
        lines.push(format!("{} {}", host.len() >> 20, told.join(" ")));
    }
    writeln!(std::io::stdout(), "{}", lines.join("\n"))?;
    Ok(())
}

fn start_plain() -> std::io::Result<u128> {
    let start = Instant::now();
    Command::new("/bin/true").stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    Ok(start.elapsed().as_micros())
}

async fn start_in(vm: &Vm) -> Result<u128, Box<dyn std::error::Error>> {
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
