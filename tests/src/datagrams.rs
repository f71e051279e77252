//! A server of datagrams on the host, on loopback of both families.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// It sends back what it gets; `spoof` is answered from another socket first. It ends with the test.
#[derive(Debug)]
pub struct DatagramHost {
    port: u16,
    has_v6: bool,
    peers: Arc<Mutex<(usize, BTreeSet<SocketAddr>)>>,
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl DatagramHost {
    /// A server on a port of `127.0.0.1` and, where there is IPv6, of `::1`.
    ///
    /// # Panics
    /// Where there is no port.
    #[expect(clippy::expect_used, reason = "a test without its server must fail loudly")]
    pub fn echo() -> Self {
        let four = UdpSocket::bind("127.0.0.1:0").expect("a port on loopback");
        let port = four.local_addr().expect("a bound socket has an address").port();
        let six = UdpSocket::bind(("::1", port)).ok();
        let (peers, ended) = (Arc::default(), Arc::default());
        let mut host = Self { port, has_v6: six.is_some(), peers, ended, threads: Vec::new() };
        for socket in [Some(four), six].into_iter().flatten() {
            socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time limit");
            let (peers, ended) = (host.peers.clone(), host.ended.clone());
            host.threads.push(thread::spawn(move || serve(&socket, &peers, &ended)));
        }
        host
    }

    /// The port, of both families.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it answers on `::1`, too.
    pub fn has_v6(&self) -> bool {
        self.has_v6
    }

    /// How many datagrams have arrived, and from how many sockets.
    pub fn arrived(&self) -> (usize, usize) {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        (peers.0, peers.1.len())
    }

    /// Options by which `name` leads here.
    pub fn leads(&self, name: &str) -> Vec<String> {
        let mut options = vec!["--resolve".to_owned(), format!("{name}=127.0.0.1")];
        if self.has_v6 {
            options.extend(["--resolve".to_owned(), format!("{name}=::1")]);
        }
        options
    }

    /// Options by which `name` leads here, and may be sent to.
    pub fn named(&self, name: &str) -> Vec<String> {
        let mut options = self.leads(name);
        let port = self.port;
        options.extend(["--allow-net".to_owned(), format!("udp://{name}:{port}")]);
        options.extend(["--allow-net".to_owned(), format!("udp://localhost:{port}")]);
        options
    }
}

impl Drop for DatagramHost {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn serve(socket: &UdpSocket, peers: &Mutex<(usize, BTreeSet<SocketAddr>)>, ended: &AtomicBool) {
    let mut buffer = vec![0; 65_536];
    while !ended.load(Ordering::SeqCst) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        {
            let mut peers = peers.lock().unwrap_or_else(PoisonError::into_inner);
            peers.0 += 1;
            peers.1.insert(from);
        }
        let bytes = buffer.get(..length).unwrap_or_default();
        if bytes == b"spoof"
            && let Ok(own) = socket.local_addr()
            && let Ok(other) = UdpSocket::bind((own.ip(), 0))
        {
            drop(other.send_to(b"forged", from));
        }
        drop(socket.send_to(bytes, from));
    }
}
