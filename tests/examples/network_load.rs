//! Load for the network: a server, and clients that tell what they measured. Used by `cargo xtask bench network` and by tests.

#![expect(clippy::print_stdout, reason = "it tells its figures")]

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

const BLOCK: usize = 128 << 10;
const RECEIVE: u8 = 1;
const SEND: u8 = 2;
const ANSWER: u8 = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve"] => serve()?,
        ["receive", host, port, bytes] => println!("{:.6}", receive(host, port.parse()?, bytes.parse()?)?),
        ["send", host, port, bytes] => println!("{:.6}", send(host, port.parse()?, bytes.parse()?)?),
        ["connect", host, port, rounds] => println!("{:.1}", connect(host, port.parse()?, rounds.parse()?)?),
        _ => return Err("serve | receive HOST PORT BYTES | send HOST PORT BYTES | connect HOST PORT ROUNDS".into()),
    }
    Ok(())
}

/// Tells its port, and serves until its input ends.
fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || serve_one(stream));
        }
    });
    io::copy(&mut io::stdin(), &mut io::sink()).map(drop)
}

fn serve_one(mut stream: TcpStream) -> io::Result<()> {
    let mut asked = [0; 9];
    stream.set_nodelay(true)?;
    stream.read_exact(&mut asked)?;
    let [kind, length @ ..] = asked;
    let mut left = u64::from_le_bytes(length);
    let mut block = vec![7; BLOCK];
    match kind {
        RECEIVE => {
            while left > 0 {
                let part = block.get(..left.min(BLOCK as u64) as usize).unwrap_or_default();
                stream.write_all(part)?;
                left -= part.len() as u64;
            }
        }
        SEND => {
            while left > 0 {
                let count = stream.read(&mut block)?;
                if count == 0 {
                    return Ok(());
                }
                left = left.saturating_sub(count as u64);
            }
            stream.write_all(&[1])?;
        }
        _ => stream.write_all(&[1])?,
    }
    Ok(())
}

fn ask(host: &str, port: u16, kind: u8, bytes: u64) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect((host, port))?;
    stream.set_nodelay(true)?;
    let mut asked = vec![kind];
    asked.extend(bytes.to_le_bytes());
    stream.write_all(&asked)?;
    Ok(stream)
}

/// Seconds for so many bytes from the server.
fn receive(host: &str, port: u16, bytes: u64) -> io::Result<f64> {
    let begun = Instant::now();
    let mut stream = ask(host, port, RECEIVE, bytes)?;
    let (mut block, mut got) = (vec![0; BLOCK], 0);
    while got < bytes {
        match stream.read(&mut block)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => got += count as u64,
        }
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// Seconds for so many bytes to the server, until it has them all.
fn send(host: &str, port: u16, bytes: u64) -> io::Result<f64> {
    let begun = Instant::now();
    let mut stream = ask(host, port, SEND, bytes)?;
    let (block, mut left) = (vec![7; BLOCK], bytes);
    while left > 0 {
        let part = block.get(..left.min(BLOCK as u64) as usize).unwrap_or_default();
        stream.write_all(part)?;
        left -= part.len() as u64;
    }
    stream.read_exact(&mut [0])?;
    Ok(begun.elapsed().as_secs_f64())
}

/// The median, in microseconds, of connecting, asking and being answered.
fn connect(host: &str, port: u16, rounds: usize) -> io::Result<f64> {
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds.max(1) {
        let begun = Instant::now();
        ask(host, port, ANSWER, 0)?.read_exact(&mut [0])?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}
