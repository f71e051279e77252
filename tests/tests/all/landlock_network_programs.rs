//! Through the proxy of a run without namespaces connections are what they are without one: many at once, slow readers, ends of one
//! direction, breaks.

use crate::network_programs::assert_holds_back;
use cofferdam_tests::attack::{Attack, Tier, WAY};
use cofferdam_tests::host::Host;
use cofferdam_tests::scratch::Scratch;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::mpsc;
use std::time::Duration;

fn strings(options: &[String]) -> Vec<&str> {
    options.iter().map(String::as_str).collect()
}

#[test]
fn p6_two_hundred_ways_at_once_each_carry_what_is_theirs() {
    let host = Host::echo();
    let Some(attack) = Attack::new(&format!(
        "{WAY}
port = int(os.environ['PORT']); done = []
def one(number):
    s = way('echo.test', port); text = (b'%d ' % number) * 5000
    sender = threading.Thread(target=lambda: (s.sendall(text), s.shutdown(socket.SHUT_WR))); sender.start(); got = b''
    while part := s.recv(65536): got += part
    sender.join(); done.append(got == text)
def all():
    threads = [threading.Thread(target=one, args=(number,)) for number in range(200)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    if done != [True] * 200: raise Exception('%d of %d' % (sum(done), len(done)))
attempt('all', all)
"
    )) else {
        return;
    };
    let options = [host.named("echo.test"), vec!["--env".to_owned(), format!("PORT={}", host.port())]].concat();
    let answers = attack.inside(Tier::Landlock, Scratch::new().path(), &strings(&options));
    answers.assert("all", &["ok"]);
    assert_eq!(host.arrived(), 200);
    assert_eq!(answers.result["network"][0]["connections"], 200, "{answers:?}");
}

#[test]
fn p6_an_end_is_an_end_and_a_break_a_break_through_the_proxy() {
    let half = Host::new(|mut stream| {
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        stream.write_all(text.to_uppercase().as_bytes())
    });
    let closes = Host::new(|stream| stream.shutdown(Shutdown::Both));
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    let breaks = Host::new(move |mut stream| {
        stream.read_exact(&mut [0])?;
        let _ = nix::sys::socket::setsockopt(&stream, nix::sys::socket::sockopt::Linger, &linger);
        Ok(())
    });
    let (told, broken) = mpsc::channel();
    let sees = Host::new(move |mut stream| {
        let first = stream.read(&mut [0; 8])?;
        stream.write_all(b"y")?;
        let _ = told.send((first, stream.read(&mut [0; 8]).map_err(|error| error.kind())));
        Ok(())
    });
    let Some(attack) = Attack::new(&format!(
        "{WAY}
half, breaks, closes, sees = [int(port) for port in os.environ['PORTS'].split()]
def ended():
    s = way('a.test', half); s.sendall(b'said'); s.shutdown(socket.SHUT_WR)
    if s.recv(9) != b'SAID' or s.recv(9) != b'': raise Exception('lost')
def broken(): s = way('a.test', breaks); s.sendall(b'x'); s.recv(9)
def closed():
    if way('a.test', closes).recv(9) != b'': raise Exception('not ended')
def breaking():
    s = way('a.test', sees); s.sendall(b'x'); s.recv(1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); s.close()
for name in ['ended', 'broken', 'closed', 'breaking']: attempt(name, globals()[name])
"
    )) else {
        return;
    };
    let hosts = [&half, &breaks, &closes, &sees];
    let ports: Vec<String> = hosts.iter().map(|host| host.port().to_string()).collect();
    let mut options: Vec<String> = hosts.iter().flat_map(|host| host.named("a.test")).collect();
    options.extend(["--env".to_owned(), format!("PORTS={}", ports.join(" "))]);
    let answers = attack.inside(Tier::Landlock, Scratch::new().path(), &strings(&options));
    for (name, expected) in [("ended", "ok"), ("broken", "ECONNRESET"), ("closed", "ok"), ("breaking", "ok")] {
        answers.assert(name, &[expected]);
    }
    let seen = broken.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(seen, (1, Err(std::io::ErrorKind::ConnectionReset)));
}

#[test]
fn p6_a_slow_reader_holds_the_host_back_through_the_proxy() {
    let Some(attack) = Attack::new(&format!(
        "{WAY}
s = way('slow.test', int(os.environ['PORT'])); end = time.monotonic() + 60; got = 0
while not os.path.exists('go') and time.monotonic() < end: time.sleep(0.01)
while part := s.recv(1 << 20): got += len(part)
show(got)
attempt('read', lambda: None)
"
    )) else {
        return;
    };
    assert_holds_back(Tier::Landlock, &attack);
}
