//! What a one-shot costs in a session beside one in a VM whose runs have networks of their own, and what a start and a stop cost.
//! `cargo xtask bench session` runs this and reads its figures.
//!
//! Told in µs as `median first-quartile third-quartile`, in a line: a one-shot without a session, in one, a start with its stop. They take turns.

use cofferdam_kernel::session::{CommandSpec, Persistence, RunOptions, SessionSpec};
use cofferdam_tests::session::{Plane, open_with, under_dev, within_runtime};
use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

const WARM_UP: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let rounds: usize = std::env::args().nth(1).ok_or("session_cost ROUNDS")?.parse()?;
    let spec = SessionSpec::default()
        .command(CommandSpec::argv("once", "/bin/true", [""; 0]))
        .command(CommandSpec::argv("stays", "/bin/sleep", ["1000"]).persistent(Persistence::default()));
    let opened = open_with(Plane::Linux, spec, &[])?;
    let kernel = Plane::Linux.kernel()?;
    let vm = kernel.create_vm(under_dev(&opened.workspace.path().canonicalize()?)?)?;
    let mut all: [Vec<Duration>; 3] = Default::default();
    let [alone, inside, kept] = &mut all;
    within_runtime(async {
        for round in 0..rounds + WARM_UP {
            let begun = Instant::now();
            vm.command("/bin/true").output().await?;
            let without = begun.elapsed();
            let begun = Instant::now();
            opened.session.run("once", RunOptions::default()).await?;
            let within = begun.elapsed();
            let begun = Instant::now();
            opened.session.start("stays").await?;
            opened.session.stop("stays").await?;
            let both = begun.elapsed();
            if round >= WARM_UP {
                alone.push(without);
                inside.push(within);
                kept.push(both);
            }
        }
        Ok::<(), Box<dyn Error>>(())
    })?;
    let line: Vec<String> = all.iter_mut().map(|times| figures(times)).collect();
    writeln!(std::io::stdout(), "{}", line.join(" "))?;
    Ok(())
}

fn figures(all: &mut [Duration]) -> String {
    all.sort();
    let last = all.len().saturating_sub(1);
    let at = |quarter: usize| all.get(last * quarter / 4).copied().unwrap_or_default().as_secs_f64() * 1e6;
    format!("{:.1} {:.1} {:.1}", at(2), at(1), at(3))
}
