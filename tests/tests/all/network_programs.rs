//! Programs of every kind over the network by name, as they behave without a sandbox: static ones, many connections, much data, slow
//! readers, ends and breaks.

use cofferdam_tests::attack::{Attack, Tier};
use cofferdam_tests::host::{Host, block, first_line};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

#[track_caller]
fn shell(place: &Scratch, options: &[String], line: &str) -> Value {
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    Tier::Full.shell(place.path(), &options, line)
}

/// Asks the name server at 8.8.8.8 by hand, connects to the first address that it answers, and prints what comes.
const OWN_RESOLVER: &str = r#"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
static int fetch(struct sockaddr_in to) {
    int s = socket(AF_INET, SOCK_STREAM, 0); char text[512]; ssize_t n;
    if (connect(s, (void *)&to, sizeof to)) { perror("connect"); return 1; }
    const char *ask = "GET / HTTP/1.0\r\nHost: static\r\n\r\n";
    if (write(s, ask, strlen(ask)) < 0) { perror("write"); return 1; }
    while ((n = read(s, text, sizeof text)) > 0) fwrite(text, 1, n, stdout);
    if (n < 0) { perror("read"); return 1; }
    return 0;
}
int main(int argc, char **argv) {
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[2])) };
    if (inet_pton(AF_INET, argv[1], &to.sin_addr) == 1) return fetch(to);
    struct sockaddr_in server = { .sin_family = AF_INET, .sin_port = htons(53) }, from;
    unsigned char q[512] = { 1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0 }, a[512]; size_t at = 12; socklen_t length = sizeof from;
    inet_pton(AF_INET, "8.8.8.8", &server.sin_addr);
    for (char *label = strtok(argv[1], "."); label; label = strtok(NULL, ".")) {
        q[at++] = strlen(label); memcpy(q + at, label, strlen(label)); at += strlen(label);
    }
    q[at++] = 0; q[at++] = 0; q[at++] = 1; q[at++] = 0; q[at++] = 1;
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    if (sendto(s, q, at, 0, (void *)&server, sizeof server) < 0) { perror("sendto"); return 1; }
    ssize_t n = recvfrom(s, a, sizeof a, 0, (void *)&from, &length);
    if (from.sin_addr.s_addr != server.sin_addr.s_addr) { fprintf(stderr, "from elsewhere\n"); return 1; }
    if (n < (ssize_t)at + 16 || (a[3] & 15)) { fprintf(stderr, "answer %d\n", n > 3 ? a[3] & 15 : -1); return 1; }
    memcpy(&to.sin_addr, a + n - 4, 4);
    return fetch(to);
}
"#;

#[test]
fn p6_a_static_program_with_a_resolver_of_its_own() {
    let Some(compiler) = skip::program("gcc") else { return };
    let (place, host) = (Scratch::new(), Host::http());
    place.write("own.c", OWN_RESOLVER);
    let built =
        Command::new(compiler).args(["-static", "-o", "own", "own.c"]).current_dir(place.path()).output().unwrap();
    if !built.status.success() {
        return skip::skipped("there is no static C library");
    }
    let port = host.port();
    let result = shell(&place, &host.named("api.test"), &format!("./own api.test {port}"));
    assert!(result["stdout"].as_str().unwrap().ends_with("hello static\n"), "{result}");
    // An address that a rule names is reached, and one that none names is not; a name that none names is no name.
    let result =
        shell(&place, &host.dialled(), &format!("./own 127.0.0.1 {port}; ./own 192.0.2.1 {port}; ./own other.test 80"));
    assert!(result["stdout"].as_str().unwrap().ends_with("hello static\n"), "{result}");
    let told = result["stderr"].as_str().unwrap();
    assert!(told.contains("reset by peer") && told.contains("answer 3"), "{result}");
    let denials = result["denials"].to_string();
    assert!(
        denials.contains("192.0.2.1") && denials.contains("other.test") && denials.contains("\"own\""),
        "{denials}"
    );
    assert_eq!(host.arrived(), 2, "{result}");
}

#[test]
fn p6_git_over_http() {
    let (Some(git), Some(_)) = (skip::program("git"), skip::program("curl")) else { return };
    let (outside, place) = (Scratch::new(), Scratch::new());
    let git = |arguments: &[&str]| {
        let mut command = Command::new(&git);
        command.args(["-c", "user.name=t", "-c", "user.email=t@t"]).args(arguments).current_dir(outside.path());
        let done = command.output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {done:?}");
    };
    git(&["init", "-q", "origin"]);
    outside.write("origin/file", "contents");
    git(&["-C", "origin", "add", "file"]);
    git(&["-C", "origin", "commit", "-q", "-m", "one"]);
    git(&["clone", "-q", "--bare", "origin", "served"]);
    git(&["-C", "served", "update-server-info"]);
    // Over plain files, as the simplest of servers has them.
    let root = outside.join("served");
    let host = Host::new(move |mut stream| {
        let mut head = [0; 4096];
        let count = stream.read(&mut head)?;
        let head = String::from_utf8_lossy(&head[..count]).into_owned();
        let path = head.split([' ', '?']).nth(1).unwrap_or("/").trim_start_matches("/served/").to_owned();
        let (status, body) = match std::fs::read(root.join(path)) {
            Ok(body) => ("200 OK", body),
            Err(_) => ("404 Not Found", Vec::new()),
        };
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
        stream.write_all(&body)?;
        stream.shutdown(Shutdown::Write)
    });
    let line = format!("git clone -q http://git.test:{}/served copy && cat copy/file", host.port());
    let result = shell(&place, &host.named("git.test"), &line);
    assert_eq!(result["stdout"], "contents", "{result}");
}

#[test]
fn p6_two_hundred_connections_at_once_each_get_what_is_theirs() {
    let Some(attack) = Attack::new(
        "
import asyncio
PORT = int(os.environ['PORT'])
async def one(number):
    r, w = await asyncio.open_connection('echo.test', PORT)
    text = (b'%d ' % number) * 5000
    w.write(text); w.write_eof()
    got = await r.read()
    w.close()
    return got == text
async def go():
    done = await asyncio.gather(*[one(n) for n in range(200)])
    if not all(done): raise Exception('%d of %d' % (sum(done), len(done)))
attempt('all', lambda: asyncio.run(go()))
",
    ) else {
        return;
    };
    let (host, place) = (Host::echo(), Scratch::new());
    let port = format!("PORT={}", host.port());
    let options = [host.named("echo.test"), vec!["--env".to_owned(), port]].concat();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let answers = attack.inside(Tier::Full, place.path(), &options);
    answers.assert("all", &["ok"]);
    assert_eq!(host.arrived(), 200);
    assert_eq!(answers.result["network"][0]["connections"], 200, "{answers:?}");
}

#[test]
fn p6_much_data_arrives_whole_both_ways() {
    if skip::program("curl").is_none() {
        return;
    }
    // More where somebody wants to wait for it, in MiB.
    let wished = std::env::var("COFFERDAM_TRANSFER_MIB").ok().and_then(|text| text.parse::<usize>().ok());
    let total = wished.unwrap_or(64) << 20;
    let (host, place) = (Host::http(), Scratch::new());
    let mut expected = std::fs::File::create(place.join("expected")).unwrap();
    for number in 0..total / 65_536 {
        expected.write_all(&block(number)).unwrap();
    }
    drop(expected);
    let port = host.port();
    let line = format!(
        "curl -sS http://big.test:{port}/bytes/{total} | cmp - expected && echo same; \
         curl -sS -T expected http://big.test:{port}/same"
    );
    let result = shell(&place, &host.named("big.test"), &line);
    assert_eq!(result["stdout"], format!("same\nsame {total}"), "{result}");
    let counted = &result["network"][0];
    let bytes = |key: &str| counted[key].as_u64().unwrap();
    assert!(bytes("received_bytes") > total as u64 && bytes("sent_bytes") > total as u64, "{result}");
    assert!(bytes("received_bytes") < total as u64 + 4096 && bytes("sent_bytes") < total as u64 + 4096, "{result}");
}

/// A host sends for ever to a guest that reads nothing until it is told, by the file `go`, that the host has come to a stop: at `PORT` of
/// `slow.test`. It shows how many bytes it has read.
#[track_caller]
pub(crate) fn assert_holds_back(tier: Tier, guest: &Attack) {
    let ((host, stopped), place) = (Host::sending(), Scratch::new());
    let options = [host.named("slow.test"), vec!["--env".to_owned(), format!("PORT={}", host.port())]].concat();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    std::thread::scope(|scope| {
        let guest = scope.spawn(|| guest.inside(tier, place.path(), &options));
        let sent = stopped.recv_timeout(Duration::from_secs(60)).unwrap();
        place.write("go", "");
        let answers = guest.join().unwrap();
        assert!(sent < 64 << 20, "the host was let send {sent} bytes that nobody read");
        assert!(answers.printed.contains(&format!("> {sent}\n")), "of {sent}: {answers:?}");
    });
}

#[test]
fn p6_a_slow_reader_holds_the_host_back() {
    let Some(attack) = Attack::new(
        "
s = socket.create_connection(('slow.test', int(os.environ['PORT'])))
end = time.monotonic() + 30
while not os.path.exists('go') and time.monotonic() < end: time.sleep(0.01)
got = 0
while True:
    part = s.recv(1 << 20)
    if not part: break
    got += len(part)
show(got)
attempt('read', lambda: None)
",
    ) else {
        return;
    };
    assert_holds_back(Tier::Full, &attack);
}

#[test]
fn p6_an_end_is_an_end_and_a_break_a_break() {
    let half = Host::new(|mut stream| {
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        stream.write_all(text.to_uppercase().as_bytes())
    });
    let breaks = Host::new(|mut stream| {
        stream.read_exact(&mut [0])?;
        reset(stream);
        Ok(())
    });
    let closes = Host::new(|stream| stream.shutdown(Shutdown::Both));
    let (told, broken) = mpsc::channel();
    let sees = Host::new(move |mut stream| {
        let first = stream.read(&mut [0; 8])?;
        let _ = told.send((first, stream.read(&mut [0; 8]).map_err(|error| error.kind())));
        Ok(())
    });
    let Some(attack) = Attack::new(
        "
half, breaks, closes, sees = [int(port) for port in os.environ['PORTS'].split()]
def ended():
    s = socket.create_connection(('a.test', half)); s.sendall(b'said'); s.shutdown(socket.SHUT_WR)
    if s.recv(9) != b'SAID' or s.recv(9) != b'': raise Exception('lost')
def broken():
    s = socket.create_connection(('a.test', breaks)); s.sendall(b'x'); s.recv(9)
def closed():
    s = socket.create_connection(('a.test', closes))
    if s.recv(9) != b'': raise Exception('not ended')
def breaking():
    s = socket.create_connection(('a.test', sees)); s.sendall(b'x'); time.sleep(0.2)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); s.close()
for name in ['ended', 'broken', 'closed', 'breaking']: attempt(name, globals()[name])
time.sleep(0.2)
",
    ) else {
        return;
    };
    let hosts = [&half, &breaks, &closes, &sees];
    let ports: Vec<String> = hosts.iter().map(|host| host.port().to_string()).collect();
    let mut options: Vec<String> = hosts.iter().flat_map(|host| host.named("a.test")).collect();
    options.extend(["--env".to_owned(), format!("PORTS={}", ports.join(" "))]);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let answers = attack.inside(Tier::Full, Scratch::new().path(), &options);
    answers.assert("ended", &["ok"]);
    answers.assert("broken", &["ECONNRESET"]);
    answers.assert("closed", &["ok"]);
    answers.assert("breaking", &["ok"]);
    let seen = broken.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(seen, (1, Err(std::io::ErrorKind::ConnectionReset)));
}

#[test]
fn p6_what_was_sent_last_arrives_though_the_program_has_ended() {
    let (told, arrived) = mpsc::channel();
    let host = Host::new(move |mut stream| {
        let mut text = Vec::new();
        stream.read_to_end(&mut text)?;
        let _ = told.send(text.len());
        Ok(())
    });
    let Some(attack) = Attack::new(
        "
s = socket.create_connection(('last.test', int(os.environ['PORT']))); s.sendall(b'x' * 100000); os._exit(0)
",
    ) else {
        return;
    };
    let options = [host.named("last.test"), vec!["--env".to_owned(), format!("PORT={}", host.port())]].concat();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    attack.inside(Tier::Full, Scratch::new().path(), &options);
    assert_eq!(arrived.recv_timeout(Duration::from_secs(30)), Ok(100_000));
}

#[test]
fn p6_a_host_that_reaches_the_world_through_a_proxy() {
    if skip::program("curl").is_none() {
        return;
    }
    // It grants whatever it is asked for, tells what that was, and answers itself in place of the host.
    let (told, asked) = mpsc::channel();
    let proxy = Host::new(move |mut stream| {
        for answer in [
            &b"HTTP/1.1 200 fine\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfar\n",
        ] {
            let _ = told.send(first_line(&mut stream)?);
            stream.write_all(answer)?;
        }
        stream.shutdown(Shutdown::Write)
    });
    // An address for which no route is needed: it is only the proxy that is dialled.
    let options = ["--allow-net", "far.test:80", "--resolve", "far.test=203.0.113.9", "--allow-net", "203.0.113.9:80"];
    let line = "curl -sS http://far.test/; curl -sS http://near.test/; env | grep -i proxy";
    let place = Scratch::new();
    let mut command = Tier::Full.run(place.path(), &options, &["sh", "-c", line]);
    let output = command.env("HTTPS_PROXY", format!("http://127.0.0.1:{}", proxy.port())).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "far\n", "{output:?}");
    let asked: Vec<String> = asked.try_iter().collect();
    assert_eq!(asked, ["CONNECT far.test:80 HTTP/1.1", "GET / HTTP/1.1"], "nothing else was asked of it");
}

/// Ends a connection so that the other side sees it broken.
fn reset(stream: TcpStream) {
    let _ = nix::sys::socket::setsockopt(
        &stream,
        nix::sys::socket::sockopt::Linger,
        &nix::libc::linger { l_onoff: 1, l_linger: 0 },
    );
}
