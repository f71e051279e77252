//! What starting costs a host that embeds the kernel: `cargo xtask bench host` runs this and prints its figures.
//!
//! The host starts `/bin/true` in turn without a sandbox and in one, first as it is, then with memory that it has touched:
//! the cost must not grow with the host.

use cofferdam_kernel::policy::Policy;
use cofferdam_kernel::{Kernel, Vm, VmSpec};
use cofferdam_sandbox_linux::LinuxPlane;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Instant;

const WARM_UP: usize = 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let rounds: usize = arguments.next().as_deref().unwrap_or("200").parse()?;
    let mebibytes: usize = arguments.next().as_deref().unwrap_or("1024").parse()?;
    let kernel = Kernel::builder(LinuxPlane::new()?).build()?;
    let vm = kernel.create_vm(VmSpec::new(Policy::strict()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut host = Vec::new();
    let mut lines = Vec::new();
    for size in [0, mebibytes] {
        host.resize(size << 20, 1_u8);
        let (mut plain, mut boxed) = (Vec::new(), Vec::new());
        for round in 0..rounds + WARM_UP {
            let (outside, inside) = (start_plain()?, runtime.block_on(start_boxed(&vm))?);
            if round >= WARM_UP {
                plain.push(outside);
                boxed.push(inside);
            }
        }
        lines.push(format!("{} {} {}", host.len() >> 20, median(&mut plain), median(&mut boxed)));
    }
    writeln!(std::io::stdout(), "{}", lines.join("\n"))?;
    Ok(())
}

fn start_plain() -> std::io::Result<u128> {
    let start = Instant::now();
    Command::new("/bin/true").stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    Ok(start.elapsed().as_micros())
}

async fn start_boxed(vm: &Vm) -> Result<u128, Box<dyn std::error::Error>> {
    let start = Instant::now();
    let output = vm.command("/bin/true").output().await?;
    let time = start.elapsed().as_micros();
    if output.report.cause.success() { Ok(time) } else { Err(format!("{:?}", output.report.cause).into()) }
}

fn median(times: &mut [u128]) -> u128 {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or(0)
}
