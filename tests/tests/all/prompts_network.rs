//! Hosts that the policy says to ask about: one connection waits for whoever sits at the terminal, and what else goes on. The server is
//! the witness.

use cofferdam_tests::command::{binary, text};
use cofferdam_tests::host::Host;
use cofferdam_tests::pseudo_terminal;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::path::Path;
use std::process::{Command, Stdio};

/// A workspace, two servers of which one is asked about, and a policy that says so.
struct Desk {
    place: Scratch,
    asked: Host,
    named: Host,
}

impl Desk {
    fn new(remember: &str) -> Self {
        let place = Scratch::beneath(Path::new("/var/tmp"));
        let (asked, named) = (Host::http(), Host::http());
        place.write("work/own", "");
        place.write(
            "policy.toml",
            &format!(
                "version = 1\nextends = \"dev\"\n[network]\nmode = \"allowlist\"\nallow = [\"named.test:{1}\", \"localhost:{0}\", \"localhost:{1}\"]\n\
                 [prompt]\nnetwork = [\"*.asked.test:{0}\"]\nremember = \"{remember}\"\n",
                asked.port(),
                named.port()
            ),
        );
        Self { place, asked, named }
    }

    fn line(&self, script: &str, options: &[&str]) -> Vec<String> {
        let path = |name: &str| self.place.path().canonicalize().unwrap().join(name).display().to_string();
        let state = format!("XDG_STATE_HOME={}", path("state"));
        let leads = |name: &str| ["--resolve".to_owned(), format!("{name}=127.0.0.1")];
        let own = [
            "/usr/bin/env",
            &state,
            &binary().display().to_string(),
            "run",
            "--policy",
            &path("policy.toml"),
            "--workspace",
            &path("work"),
        ]
        .map(str::to_owned);
        let names = [leads("a.asked.test"), leads("b.asked.test"), leads("named.test")].concat();
        let urls = [
            format!("A=http://a.asked.test:{}/", self.asked.port()),
            format!("B=http://b.asked.test:{}/", self.asked.port()),
            format!("N=http://named.test:{}/", self.named.port()),
        ];
        let urls = urls.into_iter().flat_map(|url| ["--env".to_owned(), url]).collect::<Vec<_>>();
        let program = ["--", "/bin/sh", "-c", script].map(str::to_owned);
        [&own[..], &names, &urls, &options.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>(), &program].concat()
    }

    fn drive(&self, steps: &str, script: &str) -> Option<String> {
        skip::program("curl")?;
        let line = self.line(script, &[]);
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        pseudo_terminal::drive(&self.place, steps, &line)
    }
}

#[test]
fn a_connection_waits_for_a_word_typed_at_the_terminal() {
    for (answer, arrives) in [("yes", 1), ("no", 0), ("", 0)] {
        let desk = Desk::new("session");
        let steps = format!("[(b'allow? ', b'{answer}\\r'), (b'said-2', b'')]");
        let script = "curl -sS -o /dev/null $A; echo said-$((1+1))";
        let Some(seen) = desk.drive(&steps, script) else { return };
        assert_eq!((seen.as_str(), desk.asked.arrived()), ("finished 0\n", arrives), "{answer}");
    }
}

#[test]
fn a_yes_for_once_is_asked_again_and_one_for_the_session_is_not() {
    let desk = Desk::new("session");
    let script = "curl -sS -o /dev/null $A; curl -sS -o /dev/null $A; curl -sS -o /dev/null $A; echo said-$((1+1))";
    let steps = "[(b'allow? ', b'yes\\r'), (b'allow? ', b'session\\r'), (b'said-2', b'')]";
    let Some(seen) = desk.drive(steps, script) else { return };
    assert_eq!((seen.as_str(), desk.asked.arrived()), ("finished 0\n", 3));
    // It is for the very name.
    let desk = Desk::new("session");
    let steps = "[(b'allow? ', b'session\\r'), (b'b.asked.test', b''), (b'allow? ', b'no\\r'), (b'said-2', b'')]";
    let script = "curl -sS -o /dev/null $A; curl -sS -o /dev/null $B; echo said-$((1+1))";
    let Some(seen) = desk.drive(steps, script) else { return };
    assert_eq!((seen.as_str(), desk.asked.arrived()), ("finished 0\n", 1));
}

#[test]
fn only_the_connection_that_is_asked_about_waits() {
    let desk = Desk::new("session");
    // What is asked about waits until the other one is done: the answer is a word that the program itself lets be typed.
    let script =
        "curl -sS -o /dev/null $A & until curl -sS -o /dev/null $N; do :; done; kill $!; wait $!; echo said-$((1+1))";
    let Some(seen) = desk.drive("[(b'said-2', b'')]", script) else { return };
    assert_eq!((seen.as_str(), desk.asked.arrived(), desk.named.arrived()), ("finished 0\n", 0, 1));
}

#[test]
fn without_anybody_to_ask_it_is_refused_told_and_nothing_leaves() {
    if skip::program("curl").is_none() {
        return;
    }
    let desk = Desk::new("always");
    let line = desk.line("curl -sS $A && exit 9; curl -sS -o /dev/null $N && exit 3", &["--no-prompt"]);
    let output = Command::new(&line[0]).args(&line[1..]).stdin(Stdio::null()).output().unwrap();
    assert_eq!((output.status.code(), desk.asked.arrived(), desk.named.arrived()), (Some(3), 0, 1), "{output:?}");
    let told = text(&output.stderr);
    assert!(told.contains(&format!("network.connect of a.asked.test:{} for curl", desk.asked.port())), "{told}");
    assert!(told.contains("nobody to ask") && told.contains("network.allow = ["), "{told}");
}

#[test]
fn a_yes_for_always_is_a_grant_that_is_listed_and_revoked() {
    let desk = Desk::new("always");
    let script = "curl -sS -o /dev/null $A; echo said-$((1+1))";
    let Some(seen) = desk.drive("[(b'allow? ', b'always\\r'), (b'said-2', b'')]", script) else { return };
    assert_eq!((seen.as_str(), desk.asked.arrived()), ("finished 0\n", 1));
    let state = desk.place.path().canonicalize().unwrap().join("state");
    let grants = |arguments: &[&str]| {
        text(
            &Command::new(binary())
                .arg("grants")
                .args(arguments)
                .env("XDG_STATE_HOME", &state)
                .output()
                .unwrap()
                .stdout,
        )
    };
    let listed = grants(&["list"]);
    assert!(
        listed.contains("network.connect") && listed.contains(&format!("a.asked.test:{}", desk.asked.port())),
        "{listed}"
    );
    let line = desk.line("curl -sS -o /dev/null $A", &["--no-prompt"]);
    let run = || Command::new(&line[0]).args(&line[1..]).stdin(Stdio::null()).output().unwrap();
    assert!(run().status.success());
    assert_eq!(desk.asked.arrived(), 2);
    let id = listed.split_whitespace().next().unwrap();
    assert_eq!(grants(&["revoke", id]), format!("Revoked {id}\n"));
    assert!(!run().status.success());
    assert_eq!(desk.asked.arrived(), 2);
}
