//! Sockets that a host has for standard streams, as services that inetd or systemd start have them: a run gets none of the network's.

use cofferdam_tests::attack::{Attack, TIERS, Tier};
use cofferdam_tests::command::text;
use cofferdam_tests::host::Host;
use cofferdam_tests::scratch::Scratch;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

/// Leaves what it is connected to for a server of the host.
const AGAIN: &str = "
port = int(os.environ['PORT'])
def again(): s = socket.socket(fileno=os.dup(0)); libc.connect(0, bytes(16), 16); s.connect(('127.0.0.1', port)); s.send(b'GET / HTTP/1.0\\r\\n\\r\\n'); s.close()
attempt('again', again)
";

#[test]
fn net_01_a_socket_for_a_standard_stream_leads_nowhere_past_the_policy() {
    let Some(attack) = Attack::new(AGAIN) else { return };
    let (host, place) = (Host::http(), Scratch::new());
    let port = format!("PORT={}", host.port());
    let connected = || OwnedFd::from(TcpStream::connect(("127.0.0.1", host.port())).unwrap());
    let single = |kind| socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, None).unwrap();
    for tier in TIERS {
        for given in [connected(), single(SockType::Stream), single(SockType::Datagram)] {
            let mut command = tier.run(place.path(), &["--env", &port], &["python3", "-c", attack.text()]);
            let output = command.stdin(given).output().unwrap();
            let told = text(&output.stderr);
            assert!(told.contains("standard input is a socket"), "{told}");
            assert_eq!(text(&output.stdout), "", "{tier:?}");
        }
    }
    assert!(host.arrived() <= TIERS.len(), "more than the connections that were there arrived");
}

#[test]
fn net_01_where_the_host_has_its_network_open_to_a_run_that_may_have_such_a_socket() {
    let Some(attack) = Attack::new(AGAIN) else { return };
    let (host, place) = (Host::http(), Scratch::new());
    place.write("policy.toml", "version = 1\nextends = \"dev\"\n[network]\nmode = \"inherit\"\n");
    let port = format!("PORT={}", host.port());
    let policy = place.join("policy.toml").display().to_string();
    let given = OwnedFd::from(TcpStream::connect(("127.0.0.1", host.port())).unwrap());
    let options = ["--env", &port, "--policy", &policy];
    let mut command = Tier::Full.run(place.path(), &options, &["python3", "-c", attack.text()]);
    let output = command.stdin(given).output().unwrap();
    assert_eq!(text(&output.stdout), "again ok\n", "{output:?}");
    assert_eq!(host.arrived(), 2);
}

#[test]
fn a_local_connection_may_be_all_standard_streams() {
    for tier in TIERS {
        let place = Scratch::new();
        let (mut ours, its) = UnixStream::pair().unwrap();
        let mut command = tier.run(place.path(), &[], &["cat"]);
        let given = [its.try_clone().unwrap(), its].map(OwnedFd::from);
        let [input, output] = given;
        let mut run = command.stdin(input).stdout(output).spawn().unwrap();
        drop(command);
        ours.write_all(b"through").unwrap();
        ours.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        ours.read_to_string(&mut answer).unwrap();
        assert!(run.wait().unwrap().success());
        assert_eq!(answer, "through", "{tier:?}");
    }
}
