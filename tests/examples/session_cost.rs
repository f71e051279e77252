//! What a one-shot costs in a session beside one in a VM whose runs have networks of their own, and what a start and a stop cost.
//! `cargo run --release -p cofferdam-tests --example session_cost [ROUNDS]`

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a measurement for a developer")]

use cofferdam_kernel::session::{CommandSpec, Persistence, RunOptions, SessionSpec};
use cofferdam_tests::session::{Plane, open, under_dev, within_runtime};
use std::time::{Duration, Instant};

fn main() {
    let rounds: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(200);
    let spec = SessionSpec::default()
        .command(CommandSpec::argv("once", "/bin/true", [""; 0]))
        .command(CommandSpec::argv("stays", "/bin/sleep", ["1000"]).persistent(Persistence::default()));
    let opened = open(Plane::Linux, spec);
    let kernel = Plane::Linux.kernel().expect("a kernel");
    let vm = kernel.create_vm(under_dev(opened.workspace.path()).expect("a policy")).expect("a VM");
    let (mut inside, mut alone, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    within_runtime(async {
        for _ in 0..rounds {
            let begun = Instant::now();
            opened.session.run("once", RunOptions::default()).await.expect("true succeeds");
            inside.push(begun.elapsed());
            let begun = Instant::now();
            vm.command("/bin/true").output().await.expect("true runs");
            alone.push(begun.elapsed());
            let begun = Instant::now();
            opened.session.start("stays").await.expect("it starts");
            opened.session.stop("stays").await.expect("it stops");
            kept.push(begun.elapsed());
        }
    });
    println!("one-shot in a session   {:?} (median of {rounds})", median(&mut inside));
    println!("one-shot without        {:?}", median(&mut alone));
    println!("start and stop          {:?}", median(&mut kept));
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
