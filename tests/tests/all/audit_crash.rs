//! WAL-01: commands that are ended by SIGKILL at any moment, under load, leave a log that verifies and tells of all that had an effect.
//!
//! `COFFERDAM_KILLS` says how many; `cargo xtask kills` asks for a thousand.

use cofferdam_tests::audit::{Recorded, assert_whole, shown};
use std::collections::HashSet;
use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Unless `COFFERDAM_KILLS` says otherwise.
const KILLS: usize = 60;

/// Others that record in the same log all the while.
const OTHERS: usize = 2;

/// xorshift64: moments that nobody chose. The seed is told when something fails.
struct Moments(u64);

impl Moments {
    fn next(&mut self, below: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        below.mul_f64((self.0 >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

#[test]
fn wal_01_runs_that_are_killed_at_any_moment_leave_a_whole_log_that_misses_none_with_an_effect() {
    let kills = std::env::var("COFFERDAM_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let seed = u64::from(std::process::id()) << 20 | 0x5eed;
    let mut moments = Moments(seed);
    let mut left = kills;
    // Each log is verified after each kill, so that a single long one would be read a thousand times.
    while left > 0 {
        let some = left.min(KILLS);
        kill_some(some, &mut moments, seed);
        left -= some;
    }
}

/// Kills so many runs that record in one log.
fn kill_some(kills: usize, moments: &mut Moments, seed: u64) {
    let own = Recorded::new();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..OTHERS {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    assert!(own.shell("true").status.success());
                }
            });
        }
        // Whatever fails, the others come to their end.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let longest = longest(&own);
            (0..kills).for_each(|number| kill_one(&own, number, moments.next(longest), seed));
        }));
        over.store(true, Ordering::Relaxed);
        ended.unwrap();
    });
    assert!(own.shell("true").status.success());
    assert_whole(&own);
    let recorded: HashSet<String> = own
        .records("started")
        .iter()
        .filter_map(|one| Some(one["event"]["working_directory"].as_str()?.to_owned()))
        .collect();
    let folder = |number: usize| own.workspace.join(&format!("run-{number}"));
    let effects: Vec<usize> = (0..kills).filter(|number| folder(*number).join("made").exists()).collect();
    let missing: Vec<&usize> = effects.iter().filter(|number| !recorded.contains(&shown(&folder(**number)))).collect();
    assert!(missing.is_empty(), "seed {seed}: runs {missing:?} had an effect and have no record");
    let without =
        (0..kills).filter(|number| !effects.contains(number) && recorded.contains(&shown(&folder(*number)))).count();
    let told = format!("{kills} killed, {} had an effect, {without} were recorded and had none\n", effects.len());
    let _ = std::io::Write::write_all(&mut std::io::stderr(), told.as_bytes());
    // Both sides of the moment were met: before the effect, and after it.
    assert!(kills < 30 || (!effects.is_empty() && effects.len() < kills), "{told}");
}

/// A little longer than a run takes here and now.
fn longest(own: &Recorded) -> Duration {
    let times = (0..5).map(|_| {
        let start = Instant::now();
        assert!(own.shell("true").status.success());
        start.elapsed()
    });
    times.max().unwrap_or_default().mul_f64(1.1)
}

/// Starts a run that leaves a file, ends it after a while, and verifies the log.
fn kill_one(own: &Recorded, number: usize, after: Duration, seed: u64) {
    let folder = own.workspace.join(&format!("run-{number}"));
    fs::create_dir(&folder).unwrap();
    let place = shown(&folder);
    let mut command = own.command(&["run", "--workspace", ".", "--workdir", &place, "--", "touch", "made"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // The moment itself is what is tried: nothing is waited for.
    thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    let (mut code, mut faults) = own.verify(&[]);
    if code == Some(3) {
        // Killed in the midst of a record: the next run puts it right.
        assert!(own.shell("true").status.success());
        (code, faults) = own.verify(&[]);
    }
    assert_eq!((code, faults), (Some(0), vec![]), "seed {seed}, run {number}, killed after {after:?}");
}
