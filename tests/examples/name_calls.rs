//! How long calls that make names take here: `cargo xtask bench names` runs it outside and inside a sandbox.
//!
//! Prints the median of a round of create, rename, remove, in nanoseconds a call.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

const CALLS: u32 = 4;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let place = arguments.next().unwrap_or_else(|| ".".to_owned());
    let rounds: usize = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(2000);
    let place = Path::new(&place);
    let (one, other, folder) = (place.join("bench-one"), place.join("bench-other"), place.join("bench-folder"));
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let start = Instant::now();
        drop(fs::File::create(&one)?);
        fs::rename(&one, &other)?;
        fs::remove_file(&other)?;
        fs::create_dir(&folder)?;
        times.push(start.elapsed().as_nanos() / u128::from(CALLS));
        fs::remove_dir(&folder)?;
    }
    times.sort_unstable();
    writeln!(std::io::stdout(), "{}", times.get(rounds / 2).copied().unwrap_or(0))
}
