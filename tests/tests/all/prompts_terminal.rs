//! Questions on a real terminal: answered by whoever sits there, and by nobody else.

use cofferdam_tests::command::{binary, run_without_namespaces, text};
use cofferdam_tests::pseudo_terminal;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::session_host::HostedSession;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A workspace, a file that is asked about, a policy that says so, and a state directory.
pub(crate) struct Desk {
    pub(crate) place: Scratch,
    remember: &'static str,
}

impl Desk {
    pub(crate) fn new(remember: &'static str) -> Self {
        let place = Scratch::beneath(Path::new("/var/tmp"));
        place.write("work/own", "");
        place.write("asked/file", "old");
        let asked = place.join("asked").canonicalize().unwrap();
        place.write(
            "policy.toml",
            &format!(
                "version = 1\nextends = \"dev\"\n[prompt]\nfilesystem.write = [\"{}\"]\nremember = \"{remember}\"\n",
                asked.display()
            ),
        );
        Self { place, remember }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.path().canonicalize().unwrap().join(name)
    }

    pub(crate) fn file(&self) -> String {
        std::fs::read_to_string(self.place.join("asked/file")).unwrap()
    }

    /// The command that runs `script` under the policy, with options.
    pub(crate) fn line(&self, options: &[&str], script: &str) -> Vec<String> {
        let path = |name: &str| self.path(name).display().to_string();
        let state = format!("XDG_STATE_HOME={}", path("state"));
        let own = ["/usr/bin/env", &state, &binary().display().to_string(), "run", "--policy", &path("policy.toml")];
        let place = ["--workspace", &path("work"), "--env", &format!("F={}", path("asked/file"))];
        let program = ["--", "/bin/sh", "-c", script];
        [&own[..], &place, options, &program].concat().iter().map(|word| (*word).to_owned()).collect()
    }

    /// Drives it on a terminal.
    fn drive(&self, steps: &str, options: &[&str], script: &str) -> Option<String> {
        let line = self.line(options, script);
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        pseudo_terminal::drive(&self.place, steps, &line)
    }

    fn grants(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(binary());
        command.arg("grants").args(arguments).env("XDG_STATE_HOME", self.path("state"));
        text(&command.output().unwrap().stdout)
    }
}

pub(crate) const WRITE: &str = "echo new > $F; echo said-$((1+1))";

#[test]
fn a_word_typed_at_the_terminal_answers() {
    let desk = Desk::new("session");
    let steps = "[(b'allow? ', b'yes\\r'), (b'said-2', b'')]";
    let Some(seen) = desk.drive(steps, &[], WRITE) else { return };
    assert_eq!((seen.as_str(), desk.file().as_str()), ("finished 0\n", "new\n"));
    for answer in ["no", "y", "always", "", "yes yes"] {
        let desk = Desk::new(desk.remember);
        let steps = format!("[(b'allow? ', b'{answer}\\r'), (b'said-2', b'')]");
        let Some(seen) = desk.drive(&steps, &[], WRITE) else { return };
        assert_eq!((seen.as_str(), desk.file().as_str()), ("finished 0\n", "old"), "{answer}");
    }
}

#[test]
fn what_a_program_prints_or_what_was_typed_before_answers_nothing() {
    let desk = Desk::new("session");
    // It prints a question of its own and takes what is typed; the word for that is no answer to the real one.
    let script = "printf 'allow? '; read word; echo took-$word > own; (echo new > $F); echo said-$((1+1))";
    let steps =
        "[(b'allow? ', b'yes\\ryes\\r'), (b'since the policy says', b''), (b'allow? ', b'no\\r'), (b'said-2', b'')]";
    let Some(seen) = desk.drive(steps, &[], script) else { return };
    assert_eq!((seen.as_str(), desk.file().as_str()), ("finished 0\n", "old"));
    assert_eq!(std::fs::read_to_string(desk.path("work/own")).unwrap(), "took-yes\n");
}

#[test]
fn an_answer_for_always_is_a_grant_that_is_listed_and_revoked() {
    let desk = Desk::new("always");
    let steps = "[(b'allow? ', b'always\\r'), (b'said-2', b'')]";
    let Some(seen) = desk.drive(steps, &[], WRITE) else { return };
    assert_eq!((seen.as_str(), desk.file().as_str()), ("finished 0\n", "new\n"));
    let listed = desk.grants(&["list"]);
    let file = desk.path("asked/file").display().to_string();
    assert!(listed.contains("filesystem.write") && listed.contains(&file), "{listed}");
    // It holds where nobody can be asked.
    let line = desk.line(&["--no-prompt"], "echo again > $F");
    let run = || Command::new(&line[0]).args(&line[1..]).stdin(Stdio::null()).output().unwrap();
    assert!(run().status.success());
    assert_eq!(desk.file(), "again\n");
    let id = listed.split_whitespace().next().unwrap();
    assert_eq!(desk.grants(&["revoke", id]), format!("Revoked {id}\n"));
    std::fs::write(desk.place.join("asked/file"), "old").unwrap();
    let output = run();
    assert!(!output.status.success());
    assert_eq!(desk.file(), "old");
    assert!(text(&output.stderr).contains("filesystem.write = ["), "{}", text(&output.stderr));
}

#[test]
fn no_guest_reads_or_writes_the_file_of_grants() {
    let desk = Desk::new("always");
    desk.place.write("state/cofferdam/grants.json", "{\"version\": 1, \"grants\": []}");
    let state = desk.path("state").display().to_string();
    let script = "cat $S/cofferdam/grants.json && exit 8; echo x > $S/cofferdam/grants.json && exit 9; exit 0";
    let line = desk.line(&["--no-prompt", "--write", &state, "--env", &format!("S={state}")], script);
    let output = Command::new(&line[0]).args(&line[1..]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let kept = std::fs::read_to_string(desk.place.join("state/cofferdam/grants.json")).unwrap();
    assert_eq!(kept, "{\"version\": 1, \"grants\": []}");
}

/// On a machine without namespaces nothing but the broker stands between two names of one file.
#[test]
fn fs_34_a_yes_for_once_makes_no_second_name_that_nobody_is_asked_about() {
    let desk = Desk::new("session");
    // Beside what is asked about, on the same file system, and writable without a question.
    let (policy, work) = (desk.path("policy.toml").display().to_string(), desk.path("work"));
    let asked = format!("F={}", desk.path("asked/file").display());
    // Outside, the second name does change the file.
    std::fs::hard_link(desk.path("asked/file"), work.join("outside")).unwrap();
    std::fs::write(work.join("outside"), "control").unwrap();
    assert_eq!(desk.file(), "control");
    std::fs::remove_file(work.join("outside")).unwrap();
    std::fs::write(desk.path("asked/file"), "old").unwrap();

    let script = "ln $F second; echo attack > second; echo said-$((1+1))";
    let options = ["--isolation", "landlock", "--policy", &policy, "--env", &asked];
    let command = run_without_namespaces(&work, &options, &["/bin/sh", "-c", script]);
    let state = format!("XDG_STATE_HOME={}", desk.path("state").display());
    let words = [command.get_program()].into_iter().chain(command.get_args()).map(|word| word.to_str().unwrap());
    let line: Vec<&str> = ["/usr/bin/env", &state].into_iter().chain(words).collect();
    let steps = "[(b'allow? ', b'yes\\r'), (b'said-2', b'')]";
    let Some(seen) = pseudo_terminal::drive(&desk.place, steps, &line) else { return };
    assert_eq!((seen.as_str(), desk.file().as_str()), ("finished 0\n", "old"));
    assert_eq!(std::fs::read_to_string(work.join("second")).unwrap(), "attack\n");
}

#[test]
fn who_is_flooded_with_questions_can_end_the_program() {
    let desk = Desk::new("session");
    // It takes no interrupt, and asks again and again about something else.
    let script = "trap '' INT; echo up-$((1+1)); read word; i=0; while [ $i -lt 400 ]; do i=$((i+1)); (echo x > $F-$i) 2>/dev/null; done; echo said-$((1+1))";
    let steps = "[(b'up-2', b'go\\r'), (b'allow? ', b'\\x03'), (b'allow? ', b'\\x03')]";
    let Some(seen) = desk.drive(steps, &[], script) else { return };
    assert_eq!(seen, "finished 137\n");
    assert!(!desk.path("asked/file-1").exists());
}

#[test]
fn no_command_of_a_session_grants() {
    let session = HostedSession::declared(
        "[commands.attack]\nshell = \"echo '{}' > state/cofferdam/grants.json; cat state/cofferdam/other; echo tried\"\n",
    );
    let state = session.workspace.join("state");
    session.workspace.write("state/cofferdam/other", "kept");
    // What the refusal of such a workspace says to write; the file of grants lies beside that.
    let sessions = state.canonicalize().unwrap().join("cofferdam/sessions");
    let policy = format!("version = 1\nextends = \"dev\"\n[filesystem]\ndeny = [\"{}\"]\n", sessions.display());
    session.state.write("policy.toml", &policy);
    let policy = session.state.join("policy.toml").display().to_string();
    let ask = |arguments: &[&str]| session.command(arguments).env("XDG_STATE_HOME", &state).output().unwrap();
    let opened = ask(&["open", "s", "--policy", &policy]);
    assert!(opened.status.success(), "{opened:?}");
    let ran = ask(&["run", "s", "attack"]);
    let closed = ask(&["close", "s"]);
    assert_eq!(text(&ran.stdout), "tried\n", "{ran:?}");
    assert!(closed.status.success() && !state.join("cofferdam/grants.json").exists(), "{closed:?}");
}
