//! A network of the test's own that stands for the world: addresses of the open internet, a server on all of them, and the name server
//! that the host's own resolver asks. What it was asked, and where somebody arrived, is told at the end.

use crate::attack::{Attack, Tier};
use crate::command::text;
use crate::scratch::Scratch;
use crate::skip;
use std::process::{Command, Output};

/// The port on which the server of the world answers with the address that it was reached by.
pub const PORT: u16 = 8777;

/// Addresses that the world's server has beside loopback. A policy must name them: they are this machine's own, after all.
pub const ADDRESSES: [&str; 2] = ["9.9.9.9", "2606:4700::77"];

/// Answers by name: `four.`, `six.` and `both.` lead to [`ADDRESSES`]; `flips.` does so when it is asked for the first time, and to this
/// machine's loopback from then on; `chain.` is another name of `inner.`, which is at loopback; `far.` is at an address where nobody is.
const WORLD: &str = r"
import collections, os, socket, struct, subprocess, sys, threading
def serve(family, address):
    server = socket.socket(family); server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6: server.setsockopt(41, 26, 1)
    server.bind((address, PORT)); server.listen(64)
    def one(stream):
        address = stream.getsockname()[0]; first = stream.recv(4096)
        print('arrived', address, first[:60], flush=True)
        body = ('hello ' + address + '\n').encode()
        try: stream.sendall(b'HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n' % len(body) + body); stream.shutdown(socket.SHUT_WR)
        except OSError: pass
        stream.close()
    def all():
        while True: threading.Thread(target=one, args=(server.accept()[0],), daemon=True).start()
    threading.Thread(target=all, daemon=True).start()
def words(name): return b''.join(bytes([len(label)]) + label.encode() for label in name.split('.')) + b'\0'
asked = collections.Counter()
def answers(name, kind):
    first = name.split('.')[0]; asked[name, kind] += 1
    four, six = socket.inet_aton('9.9.9.9'), socket.inet_pton(socket.AF_INET6, '2606:4700::77')
    if kind == 1:
        if first in ('four', 'both'): return [(1, four)]
        if first == 'flips': return [(1, four if asked[name, kind] == 1 else socket.inet_aton('127.0.0.1'))]
        if first == 'far': return [(1, socket.inet_aton('203.0.113.77'))]
        if first == 'inner': return [(1, socket.inet_aton('127.0.0.1'))]
        if first == 'chain': return [(5, words('inner.world.test')), (1, socket.inet_aton('127.0.0.1'))]
    if kind == 28 and first in ('six', 'both'): return [(28, six)]
    return []
def names():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); server.bind(('127.0.0.1', 53))
    def all():
        while True:
            question, peer = server.recvfrom(2048); at, labels = 12, []
            while question[at]: labels.append(question[at + 1:at + 1 + question[at]].decode('latin-1')); at += question[at] + 1
            name, kind = '.'.join(labels).lower(), struct.unpack_from('>H', question, at + 1)[0]
            print('asked', name, kind, flush=True)
            found, owner, body = answers(name, kind), words(name), b''
            for record, data in found:
                body += owner + struct.pack('>HHIH', record, 1, 0, len(data)) + data
                if record == 5: owner = data
            head = question[:2] + struct.pack('>HHHHH', 0x8180, 1, len(found), 0, 0)
            server.sendto(head + question[12:at + 5] + body, peer)
    threading.Thread(target=all, daemon=True).start()
serve(socket.AF_INET, '0.0.0.0'); serve(socket.AF_INET6, '::'); names()
print('result', subprocess.run(sys.argv[1:]).returncode, flush=True)
";

/// What stands before the world begins: the addresses, and the host's own resolver that knows nobody else.
const SETUP: &str = "ip link set lo up && ip addr add 9.9.9.9/32 dev lo && ip addr add 2606:4700::77/128 dev lo && \
                     printf 'nameserver 127.0.0.1\\noptions timeout:2 attempts:1\\n' > resolv.world && \
                     printf 'hosts: files dns\\n' > nsswitch.world && \
                     mount --bind resolv.world \"$(readlink -f /etc/resolv.conf)\" && \
                     { [ ! -e /etc/nsswitch.conf ] || mount --bind nsswitch.world \"$(readlink -f /etc/nsswitch.conf)\"; } || exit 77\n\
                     exec python3 -c \"$WORLD\" \"$@\"";

/// What came of a run in that world.
#[derive(Debug)]
pub struct Told {
    /// All that the run and the world printed.
    pub printed: String,
    /// All of it, for messages.
    pub whole: Output,
}

impl Told {
    /// What an attempt of the run answered.
    pub fn of(&self, name: &str) -> Option<&str> {
        self.printed.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
    }

    /// Whether the host's resolver asked for a name with this in it.
    pub fn asked(&self, name: &str) -> bool {
        self.printed.lines().any(|line| line.starts_with("asked ") && line.contains(name))
    }

    /// How many connections arrived at this address.
    pub fn arrived(&self, address: &str) -> usize {
        self.printed
            .lines()
            .filter(|line| line.strip_prefix("arrived ").is_some_and(|at| at.starts_with(address)))
            .count()
    }
}

/// Runs `program` with `options` in such a world; none, and a skip of the test, where there can be none.
///
/// # Panics
/// When nothing starts at all.
#[expect(clippy::expect_used, reason = "a test without its world must fail loudly")]
pub fn run_in_world(tier: Tier, place: &Scratch, options: &[&str], program: &[&str]) -> Option<Told> {
    if skip::program("python3").is_none() || skip::program("ip").is_none() || skip::program("unshare").is_none() {
        return None;
    }
    let inner = tier.run(place.path(), options, program);
    let mut command = Command::new("unshare");
    command.args(["-Urnm", "sh", "-c", SETUP, "sh"]).arg(inner.get_program()).args(inner.get_args());
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("WORLD", WORLD.replace("PORT", &PORT.to_string()));
    let whole = command.current_dir(place.path()).output().expect("unshare starts");
    if whole.status.code() == Some(77) {
        skip::skipped("no addresses and no resolver can be given to a network of the test's own");
        return None;
    }
    Some(Told { printed: text(&whole.stdout), whole })
}

/// Makes the attempts of `attack` in such a world.
pub fn attack_in_world(tier: Tier, attack: &Attack, options: &[&str]) -> Option<Told> {
    run_in_world(tier, &Scratch::new(), options, &["python3", "-c", attack.text()])
}
