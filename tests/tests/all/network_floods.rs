//! More connections and attempts than anybody needs: what was carried is told all the same, and nobody else is held up.

use cofferdam_tests::attack::{Attack, Tier};
use cofferdam_tests::command::text;
use cofferdam_tests::host::Host;
use cofferdam_tests::observe::within;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::session_host::HostedSession;
use cofferdam_tests::skip;
use std::process::Command;
use std::time::Duration;

#[test]
fn net_12_attempts_on_many_hosts_do_not_hide_what_was_sent_to_one() {
    let host = Host::http();
    let Some(attack) = Attack::new(
        "
port = int(os.environ['PORT'])
for number in range(300):
    try: socket.create_connection(('9.9.%d.%d' % (number >> 8, number & 255), port), 5).recv(1)
    except OSError: pass
def go():
    s = socket.create_connection(('ok.test', port), 10); s.send(b'GET / HTTP/1.0\\r\\n\\r\\n')
    if not s.recv(64): raise Exception('nothing')
attempt('sent', go)
",
    ) else {
        return;
    };
    let port = format!("PORT={}", host.port());
    let own = host.named("ok.test");
    let options: Vec<&str> = own.iter().map(String::as_str).chain(["--env", &port]).collect();
    let place = Scratch::new();
    std::fs::write(place.join("flood.py"), attack.text()).unwrap();
    let result = Tier::Full.json(place.path(), &options, &["python3", "flood.py"]);
    let told = result["network"].as_array().unwrap().iter().find(|one| one["host"] == "ok.test");
    let told = told.unwrap_or_else(|| panic!("{result}"));
    assert_eq!((told["connections"].as_u64(), told["sent_bytes"].as_u64()), (Some(1), Some(18)), "{told}");
    assert_eq!(host.arrived(), 1);
}

#[test]
fn net_29_runs_that_hold_connections_without_end_leave_their_host_enough_to_work() {
    if skip::program("python3").is_none() {
        return;
    }
    // Each takes what it gets, on the name server's port, until nothing more is given.
    let greedy = |number: u32| {
        format!(
            "[commands.g{number}]\npersistent = true\nready = {{ line = \"full\" }}\nargv = [\"python3\", \"-uc\", \"\"\"\n\
             import socket, time\nheld = []\n\
             for number in range(200):\n    held.append(socket.create_connection(('127.0.0.1', 53)))\n\
             print('full')\ntime.sleep(1000)\n\"\"\"]\n"
        )
    };
    let commands: String = (1..=4).map(greedy).collect();
    let session = HostedSession::declared(&format!(
        "policy = \"policy.toml\"\nnetwork = \"separate\"\n{commands}[commands.one]\nargv = [\"echo\", \"works\"]\n"
    ));
    let policy = "version = 1\nextends = \"dev\"\n[network]\nmode = \"allowlist\"\nallow = [\"ok.test:443\"]\n";
    session.workspace.write("policy.toml", policy);
    let open = session.command(&["open", "s"]);
    let mut few = Command::new("sh");
    few.args(["-c", "ulimit -n 300; exec \"$@\"", "sh"]).arg(open.get_program()).args(open.get_args());
    for (name, value) in open.get_envs() {
        match value {
            Some(value) => few.env(name, value),
            None => few.env_remove(name),
        };
    }
    let opened = few.current_dir(session.workspace.path()).output().unwrap();
    assert!(opened.status.success(), "{opened:?}");
    for number in 1..=4 {
        session.told(&["start", "s", &format!("g{number}"), "--wait"]);
    }
    let works = || text(&session.ask(&["run", "s", "one"]).stdout) == "works\n";
    for _ in 0..3 {
        assert!(works(), "{:?}", session.ask(&["run", "s", "one"]));
    }
    session.told(&["close", "s"]);
    assert!(within(Duration::from_secs(10), || !session.ask(&["list", "s"]).status.success()));
}
