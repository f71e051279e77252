//! Datagrams of the commands of one session, which share a network: each is carried, hears its own answers alone, and is counted; what no
//! entry names is refused there, too.

use cofferdam_tests::datagrams::DatagramHost;
use cofferdam_tests::session_host::HostedSession;
use cofferdam_tests::skip;

/// Sends its argument until its input ends, and tells each answer; a flow lasts as long as its socket.
const KEEPS: &str = "import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(30); s.connect(('127.0.0.1', PORT))
for number in range(3):
    text = b'kept %d' % number; s.send(text); print('heard' if s.recv(99) == text else 'another', flush=True)
print('ready', flush=True)
sys.stdin.readline()
s.send(b'last'); print('heard last' if s.recv(99) == b'last' else 'another', flush=True)
sys.stdin.read()";

const ONCE: &str = "import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(30); s.connect(('127.0.0.1', PORT)); s.send(b'once')
told = s.recv(99).decode()
try: t = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); t.settimeout(30); t.connect(('127.0.0.1', OTHER)); t.send(b'x'); t.recv(9)
except OSError as error: told += ' ' + type(error).__name__
print(told)";

#[test]
fn net_02_commands_of_a_session_send_datagrams_by_the_network_that_they_share() {
    if skip::python().is_none() {
        return;
    }
    let (host, other) = (DatagramHost::echo(), DatagramHost::echo());
    let script = |text: &str| {
        let text = text.replace("PORT", &host.port().to_string()).replace("OTHER", &other.port().to_string());
        serde_json::to_string(&text).unwrap()
    };
    let session = HostedSession::declared(&format!(
        "[commands.keeps]\nargv = [\"python3\", \"-c\", {}]\npersistent = true\nstdin = \"open\"\nready = {{ line = \"ready\" }}\n\
         [commands.once]\nargv = [\"python3\", \"-c\", {}]\n",
        script(KEEPS),
        script(ONCE)
    ));
    let policy = format!(
        "version = 1\nextends = \"dev\"\n[network]\nmode = \"allowlist\"\nallow = [\"udp://localhost:{}\"]\n",
        host.port()
    );
    session.workspace.write("policy.toml", &policy);
    session.opened(&["--policy", "policy.toml"]);
    session.told(&["start", "s", "keeps", "--wait"]);
    for _ in 0..3 {
        assert_eq!(session.told(&["run", "s", "once"]).trim(), "once ConnectionRefusedError");
    }
    // The flow of the command that stayed is still its own.
    let mut write = session.command(&["write", "s", "keeps"]);
    let mut child = write.stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"go\n").unwrap();
    assert!(child.wait().unwrap().success());
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let status = session.told(&["status", "s", "keeps"]);
        if status.contains("heard last") {
            break;
        }
        assert!(std::time::Instant::now() < end && !status.contains("another"), "{status}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!((host.arrived().0, other.arrived().0), (7, 0));
    session.told(&["close", "s"]);
}
