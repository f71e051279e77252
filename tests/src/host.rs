//! Servers of the host that tests reach, or must not reach, from inside: each on loopback, on a port of its own, in both families.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// A server on 127.0.0.1 and, where there is IPv6, on `::1` with the same port. It ends with the test.
#[derive(Debug)]
pub struct Host {
    port: u16,
    has_v6: bool,
    arrived: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
}

impl Host {
    /// A server that hands each connection to `serve`, on a thread of its own.
    ///
    /// # Panics
    /// Where there is no port to listen on.
    #[expect(clippy::expect_used, reason = "a test without its server must fail loudly")]
    pub fn new(serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let four = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let port = four.local_addr().expect("a bound socket has an address").port();
        let six = TcpListener::bind(("::1", port)).ok();
        let host = Self { port, has_v6: six.is_some(), arrived: Arc::default(), ended: Arc::default() };
        let serve = Arc::new(serve);
        for listener in [Some(four), six].into_iter().flatten() {
            let (serve, arrived, ended) = (serve.clone(), host.arrived.clone(), host.ended.clone());
            thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    if ended.load(Ordering::SeqCst) {
                        return;
                    }
                    arrived.fetch_add(1, Ordering::SeqCst);
                    let serve = serve.clone();
                    thread::spawn(move || serve(stream));
                }
            });
        }
        host
    }

    /// A server that sends back what it gets, and ends when the other side does.
    pub fn echo() -> Self {
        Self::new(|mut stream| {
            let mut other = stream.try_clone()?;
            io::copy(&mut stream, &mut other)?;
            other.shutdown(Shutdown::Write)
        })
    }

    /// A server that sends until nobody takes it any more, and how many bytes it has sent then.
    pub fn sending() -> (Self, mpsc::Receiver<usize>) {
        let (told, stopped) = mpsc::channel();
        let host = Self::new(move |mut stream| {
            stream.set_write_timeout(Some(Duration::from_millis(500)))?;
            let (block, mut sent) = (vec![7; 1 << 20], 0_usize);
            while sent < 256 << 20 {
                match stream.write(&block) {
                    Ok(count) => sent += count,
                    Err(_) => break,
                }
            }
            let _ = told.send(sent);
            Ok(())
        });
        (host, stopped)
    }

    /// An HTTP server: `/` greets with the name it was asked by, `/bytes/N` answers so many bytes, what is posted is counted, and held
    /// against the same bytes where it is posted to `/same`.
    pub fn http() -> Self {
        Self::new(|stream| http(&stream))
    }

    /// The port, of both families.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it answers on `::1`, too.
    pub fn has_v6(&self) -> bool {
        self.has_v6
    }

    /// How many connections have arrived.
    pub fn arrived(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }

    /// Options for `cofferdam run` by which `name` leads here, and may be connected to.
    pub fn named(&self, name: &str) -> Vec<String> {
        let mut options = self.leads(name);
        options.extend(["--allow-net".to_owned(), format!("{name}:{}", self.port)]);
        options.extend(self.dialled());
        options
    }

    /// Options by which `name` leads here.
    pub fn leads(&self, name: &str) -> Vec<String> {
        let mut options = vec!["--resolve".to_owned(), format!("{name}=127.0.0.1")];
        if self.has_v6 {
            options.extend(["--resolve".to_owned(), format!("{name}=::1")]);
        }
        options
    }

    /// Options by which what leads to loopback may be dialled on this port.
    pub fn dialled(&self) -> Vec<String> {
        vec!["--allow-net".to_owned(), format!("localhost:{}", self.port)]
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Whoever waits for a connection gets one, and sees that it is over.
        for address in ["127.0.0.1", "::1"] {
            drop(TcpStream::connect((address, self.port)));
        }
    }
}

/// The first line of a request's head, which is read to its end and no further.
///
/// # Errors
/// What reading met, its end among it.
pub fn first_line(from: &mut impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        head.extend(byte);
    }
    Ok(String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned())
}

/// Block `number` of what `/bytes/N` answers.
pub fn block(number: usize) -> Vec<u8> {
    (0..65_536_usize).map(|at| ((at * 31 + number * 7) % 253) as u8).collect()
}

/// Whether what comes is what `/bytes/N` answers, and how much it is.
fn same(from: &mut impl Read) -> io::Result<String> {
    let (mut count, mut buffer) = (0, vec![0; 65_536]);
    for number in 0.. {
        let mut filled = 0;
        while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            match from.read(room)? {
                0 => break,
                more => filled += more,
            }
        }
        if buffer.get(..filled) != block(number).get(..filled) {
            return Ok(format!("other in block {number}"));
        }
        count += filled;
        if filled < buffer.len() {
            break;
        }
    }
    Ok(format!("same {count}"))
}

fn http(stream: &TcpStream) -> io::Result<()> {
    let mut reader = io::BufReader::new(stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if reader.read(&mut byte)? == 0 || head.len() > 16_384 {
            return Ok(());
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let header = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned()).next()
    };
    let path = head.split(' ').nth(1).unwrap_or("/").to_owned();
    let mut out = stream;
    let mut answer =
        |length: usize| write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    if let Some(count) = path.strip_prefix("/bytes/").and_then(|count| count.parse::<usize>().ok()) {
        answer(count)?;
        let mut left = count;
        for number in 0.. {
            let block = block(number);
            let part = block.get(..left.min(block.len())).unwrap_or_default();
            out.write_all(part)?;
            left -= part.len();
            if left == 0 {
                break;
            }
        }
    } else if let Some(length) = header("content-length").and_then(|length| length.parse::<u64>().ok()) {
        if header("expect").is_some() {
            out.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let sum = match path.as_str() {
            "/same" => same(&mut Read::take(&mut reader, length))?,
            _ => io::copy(&mut Read::take(&mut reader, length), &mut io::sink())?.to_string(),
        };
        let mut answer =
            |length: usize| write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        answer(sum.len())?;
        out.write_all(sum.as_bytes())?;
    } else {
        let text = format!("hello {}\n", header("host").unwrap_or_default());
        answer(text.len())?;
        out.write_all(text.as_bytes())?;
    }
    stream.shutdown(Shutdown::Write)
}
