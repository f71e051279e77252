//! What a one-shot on the host plane costs beside `tokio::process` alone. `cargo xtask bench oneshot` runs this and reads its figures.
//!
//! ```text
//! one_shot_cost start ROUNDS PROGRAM ARGUMENTS…   µs from request to parsed answer: tokio::process, the kernel
//! one_shot_cost prepared ROUNDS PROGRAM ARGUMENTS…   the same, by a plane that holds a keeper ready
//! one_shot_cost capture ROUNDS                    MB/s of a GiB of output: `cat | wc -c`, the kernel
//! ```
//!
//! Figures are told as `median first-quartile third-quartile` for each subject, in a line; the subjects take turns.

use cofferdam_bridge::event::ExecutionEvent;
use cofferdam_bridge::exec::RunProgram;
use cofferdam_exec_plane::{HostPlane, danger};
use cofferdam_kernel::policy::{NoFiles, Policy};
use cofferdam_kernel::{Kernel, Vm, VmSpec};
use cofferdam_tests::scratch::Scratch;
use serde_json::{Value, json};
use std::error::Error;
use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

type Outcome<T> = Result<T, Box<dyn Error>>;

const WARM_UP: usize = 10;

/// Several times what a plane needs to make the next keeper.
const REST: Duration = Duration::from_millis(3);

/// A file of so many bytes is printed so often.
const PIECE: usize = 64 << 20;
const PIECES: usize = 16;

const POLICY: &str = "version = 1\nextends = \"strict\"\n[limits]\nstdout = \"2GiB\"\nwall = \"10m\"\n";

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let line = match arguments.as_slice() {
        [mode, rounds, program @ ..] if mode == "start" => runtime.block_on(start(false, rounds.parse()?, program))?,
        [mode, rounds, program @ ..] if mode == "prepared" => {
            runtime.block_on(start(true, rounds.parse()?, program))?
        }
        [mode, rounds] if mode == "capture" => runtime.block_on(capture(rounds.parse()?))?,
        _ => return Err("one_shot_cost start|prepared ROUNDS PROGRAM… | capture ROUNDS".into()),
    };
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}

fn vm(prepared: bool) -> Outcome<Vm> {
    let access = danger::i_know_programs_run_unisolated().even_under_policies_that_require_isolation();
    let plane = HostPlane::new(access)?;
    let plane = if prepared { plane.prepared() } else { plane };
    let policy = Policy::parse(POLICY, "benchmark", &NoFiles)?;
    Ok(Kernel::builder(plane).build()?.create_vm(VmSpec::new(policy))?)
}

async fn start(prepared: bool, rounds: usize, program: &[String]) -> Outcome<String> {
    let (path, rest) = program.split_first().ok_or("no program is named")?;
    let vm = vm(prepared)?;
    let input = json!({ "numbers": [1, 2, 3] });
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for round in 0..rounds + WARM_UP {
        rest_a_moment().await;
        let begun = Instant::now();
        let answer = alone(path, rest, &input).await?;
        let alone = begun.elapsed();
        let request = RunProgram::new(path.as_str()).args(rest.iter().cloned()).stdin_json(input.clone());
        rest_a_moment().await;
        let begun = Instant::now();
        let same = vm.exec(request).await?;
        let kernel = begun.elapsed();
        if answer != same {
            return Err("the answers differ".into());
        }
        if round >= WARM_UP {
            bare.push(alone.as_secs_f64() * 1e6);
            ours.push(kernel.as_secs_f64() * 1e6);
        }
    }
    Ok(format!("{} {}", figures(bare), figures(ours)))
}

/// What the one before leaves to be done after its answer (the next keeper is started then) is not counted as the other's.
async fn rest_a_moment() {
    tokio::time::sleep(REST).await;
}

/// The same by the runtime alone: an empty environment, JSON in, JSON out.
async fn alone(path: &str, arguments: &[String], input: &Value) -> Outcome<Value> {
    let mut command = Command::new(path);
    command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().ok_or("no input")?;
    stdin.write_all(&serde_json::to_vec(input)?).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

async fn capture(rounds: usize) -> Outcome<String> {
    let scratch = Scratch::new();
    let file = scratch.join("piece");
    std::fs::write(&file, vec![b'x'; PIECE])?;
    let files = vec![file.to_string_lossy().into_owned(); PIECES];
    let vm = vm(false)?;
    let total = PIECE * PIECES;
    let (mut piped, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let begun = Instant::now();
        let line = format!("cat {} | wc -c", files.join(" "));
        let output = Command::new("/bin/sh").args(["-c", &line]).output().await?;
        piped.push(speed(total, begun));
        let counted: usize = String::from_utf8(output.stdout)?.trim().parse()?;
        let begun = Instant::now();
        let mut run = vm.command("/bin/cat").args(files.iter().cloned()).spawn().await?;
        let mut seen = 0;
        while let Some(event) = run.next_event().await {
            if let ExecutionEvent::Stdout { bytes } = event {
                seen += bytes.len();
            }
        }
        ours.push(speed(total, begun));
        if (counted, seen) != (total, total) {
            return Err(format!("{counted} and {seen} bytes came, not {total}").into());
        }
    }
    Ok(format!("{} {}", figures(piped), figures(ours)))
}

fn speed(bytes: usize, begun: Instant) -> f64 {
    bytes as f64 / 1e6 / begun.elapsed().as_secs_f64()
}

fn figures(mut all: Vec<f64>) -> String {
    all.sort_by(f64::total_cmp);
    let at = |part: f64| all.get(((all.len() as f64 - 1.0) * part).round() as usize).copied().unwrap_or_default();
    format!("{:.1} {:.1} {:.1}", at(0.5), at(0.25), at(0.75))
}
