//! How long calls take that the broker may answer: `cargo xtask bench calls` runs it outside and inside sandboxes.
//!
//! `brokered_calls names|open|look|missing|read|connect PLACE ROUNDS` prints the median of a round, in nanoseconds a call.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Instant;

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |at: usize, otherwise: &str| arguments.get(at).cloned().unwrap_or_else(|| otherwise.to_owned());
    let (what, place) = (argument(0, "names"), argument(1, "."));
    let rounds: usize = argument(2, "2000").parse().unwrap_or(2000);
    let place = Path::new(&place);
    let mut times = match what.as_str() {
        "open" => open(place, rounds)?,
        "look" => look(place, rounds)?,
        "missing" => missing(rounds),
        "read" => read(place, rounds)?,
        "connect" => connect(place, rounds)?,
        _ => names(place, rounds)?,
    };
    times.sort_unstable();
    writeln!(std::io::stdout(), "{}", times.get(rounds / 2).copied().unwrap_or(0))
}

/// Makes a file, renames it, removes it, makes a directory.
fn names(place: &Path, rounds: usize) -> std::io::Result<Vec<u128>> {
    const CALLS: u128 = 4;
    let (one, other, folder) = (place.join("bench-one"), place.join("bench-other"), place.join("bench-folder"));
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let start = Instant::now();
        drop(fs::File::create(&one)?);
        fs::rename(&one, &other)?;
        fs::remove_file(&other)?;
        fs::create_dir(&folder)?;
        times.push(start.elapsed().as_nanos() / CALLS);
        fs::remove_dir(&folder)?;
    }
    Ok(times)
}

/// Opens a file for reading and closes it.
fn open(place: &Path, rounds: usize) -> std::io::Result<Vec<u128>> {
    let file = place.join("bench-file");
    fs::write(&file, "words")?;
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let start = Instant::now();
        drop(fs::File::open(&file)?);
        times.push(start.elapsed().as_nanos());
    }
    fs::remove_file(&file)?;
    Ok(times)
}

/// Asks what a file is, and what there is not.
fn look(place: &Path, rounds: usize) -> std::io::Result<Vec<u128>> {
    const CALLS: u128 = 2;
    let (file, none) = (place.join("bench-file"), place.join("bench-none"));
    fs::write(&file, "words")?;
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let start = Instant::now();
        let found = (fs::symlink_metadata(&file).is_ok(), none.exists());
        times.push(start.elapsed().as_nanos() / CALLS);
        if found != (true, false) {
            return Err(std::io::Error::other("the answers are wrong"));
        }
    }
    fs::remove_file(&file)?;
    Ok(times)
}

/// Looks for what is there outside and which no policy shows.
fn missing(rounds: usize) -> Vec<u128> {
    let hidden = Path::new("/etc/machine-id");
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let start = Instant::now();
        // Outside it is found, inside it is not: either way somebody had to look.
        drop(fs::metadata(hidden));
        times.push(start.elapsed().as_nanos());
    }
    times
}

/// Reads a byte of an open file, which nobody is ever asked about.
fn read(place: &Path, rounds: usize) -> std::io::Result<Vec<u128>> {
    use std::os::unix::fs::FileExt;
    let path = place.join("bench-file");
    fs::write(&path, "words")?;
    let file = fs::File::open(&path)?;
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let start = Instant::now();
        file.read_exact_at(&mut [0], 0)?;
        times.push(start.elapsed().as_nanos());
    }
    fs::remove_file(&path)?;
    Ok(times)
}

/// Connects to a socket of one's own, and hears that somebody accepted.
fn connect(place: &Path, rounds: usize) -> std::io::Result<Vec<u128>> {
    let path = place.join("bench.sock");
    let listener = UnixListener::bind(&path)?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = (&stream).write_all(b"x");
        }
    });
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let start = Instant::now();
        UnixStream::connect(&path)?.read_exact(&mut [0])?;
        times.push(start.elapsed().as_nanos());
    }
    fs::remove_file(&path)?;
    Ok(times)
}
