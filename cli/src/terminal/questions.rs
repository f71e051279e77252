//! Asks whoever sits at the terminal. A guest can neither answer nor dress a question up.
//!
//! Questions go to /dev/tty and not to standard streams, and are put only where the guest holds no descriptor of that terminal: where its own
//! streams were the terminal, it could take what is typed and write over what is asked. While a question is up, nothing that the guest
//! prints is shown; what was typed before does not count; an answer is a word and not a key.

use crate::escape::{sentences, shown};
use cofferdam_bridge::ids::PromptId;
use cofferdam_bridge::prompt::{Prompt, PromptAccess, PromptAnswer, PromptOutcome, PromptReply, Prompter, Remember};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};
use nix::sys::termios::{FlushArg, tcflush};
use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How often it is looked whether an answer is still wanted.
const LOOK: Duration = Duration::from_millis(200);

/// As many bytes as an answer may have.
const MOST_ANSWER: usize = 64;

/// As many questions as a result tells.
const MOST_TOLD: usize = 1024;

/// Puts a terminal's own modes back, whatever a guest has set (DECSTR, ECMA-48 SGR), without clearing it.
const PLAIN: &str = "\u{1b}[!p\u{1b}[0m";

/// Whoever sits at the terminal. Clones ask the same person.
#[derive(Clone)]
pub(crate) struct Questions(Arc<Inner>);

struct Inner {
    asking: watch::Sender<bool>,
    /// Held by whoever writes on the terminal.
    screen: Mutex<()>,
    /// Where what is typed goes while a question is up, where somebody else reads the terminal.
    typed: Mutex<Typed>,
    told: Mutex<Vec<Told>>,
}

#[derive(Default)]
struct Typed {
    /// The relay reads the terminal, and it is raw.
    relayed: bool,
    to: Option<SyncSender<Vec<u8>>>,
}

/// A question that was put, and what it came to.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) prompt: Prompt,
    pub(crate) outcome: Option<PromptOutcome>,
}

impl std::fmt::Debug for Questions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Questions").finish_non_exhaustive()
    }
}

impl Questions {
    /// Somebody who can be asked: there is a terminal that we are in the foreground of. `relayed`: the guest gets a terminal of its own, so
    /// that none of our streams is its.
    pub(crate) fn possible(relayed: bool) -> Option<Self> {
        let shares = !relayed
            && (std::io::stdin().is_terminal() || std::io::stdout().is_terminal() || std::io::stderr().is_terminal());
        if shares || terminal().is_none() {
            return None;
        }
        let (asking, _) = watch::channel(false);
        let inner = Inner { asking, screen: Mutex::default(), typed: Mutex::default(), told: Mutex::default() };
        Some(Self(Arc::new(inner)))
    }

    /// Tells whether a question is up.
    pub(crate) fn asking(&self) -> watch::Receiver<bool> {
        self.0.asking.subscribe()
    }

    /// From now on what is typed is read elsewhere, and handed to [`takes`](Self::takes).
    pub(crate) fn relayed(&self) {
        lock(&self.0.typed).relayed = true;
    }

    /// Takes what was typed, if a question is up; `false` when it is for the guest.
    pub(crate) fn takes(&self, bytes: &[u8]) -> bool {
        match &lock(&self.0.typed).to {
            // More than is read of an answer is dropped.
            Some(to) => {
                let _ = to.try_send(bytes.to_vec());
                true
            }
            None => false,
        }
    }

    /// The terminal for whoever writes on it besides; `None` while a question is up.
    pub(crate) fn screen(&self) -> Option<MutexGuard<'_, ()>> {
        match self.0.screen.try_lock() {
            Ok(guard) if !*self.0.asking.borrow() => Some(guard),
            _ => None,
        }
    }

    /// The questions that were put.
    pub(crate) fn told(&self) -> Vec<Told> {
        lock(&self.0.told).clone()
    }

    fn put(&self, prompt: &Prompt, reply: &PromptReply) -> PromptAnswer {
        let Some(mut terminal) = terminal() else { return PromptAnswer::Deny };
        self.0.asking.send_replace(true);
        let screen = lock(&self.0.screen);
        let (sender, typed) = sync_channel(16);
        let relayed = {
            let mut typed = lock(&self.0.typed);
            typed.to = Some(sender);
            typed.relayed
        };
        // What was typed before the question was seen is no answer to it.
        let _ = tcflush(&terminal, FlushArg::TCIFLUSH);
        let text = question(prompt);
        let text = if relayed { format!("{PLAIN}\r\n{}", text.replace('\n', "\r\n")) } else { text };
        let shown = terminal.write_all(text.as_bytes()).and_then(|()| terminal.flush());
        // A program may ask before its terminal is relayed: then whoever relays takes over what is typed, and hands it on.
        let line = match shown {
            Err(_) => None,
            Ok(()) if relayed => typed_line(&typed, &mut terminal, reply),
            Ok(()) => match line(&mut terminal, reply, || lock(&self.0.typed).relayed) {
                Line::Relayed => typed_line(&typed, &mut terminal, reply),
                Line::Typed(line) => Some(line),
                Line::None => None,
            },
        };
        let answer = line.as_deref().map_or(PromptAnswer::Deny, |line| meant(line, prompt.remember));
        let end = match answer {
            PromptAnswer::Allow { .. } => "cofferdam: allowed\r\n",
            _ if !reply.is_wanted() => "\r\ncofferdam: the question is settled\r\n",
            _ => "cofferdam: refused\r\n",
        };
        let _ = terminal.write_all(end.as_bytes());
        lock(&self.0.typed).to = None;
        // First, so that whoever hears of the end finds it free.
        drop(screen);
        self.0.asking.send_replace(false);
        answer
    }
}

impl Prompter for Questions {
    fn ask(&self, prompt: Prompt, reply: PromptReply) {
        let mut told = lock(&self.0.told);
        if told.len() < MOST_TOLD {
            told.push(Told { prompt: prompt.clone(), outcome: None });
        }
        drop(told);
        let answer = self.put(&prompt, &reply);
        if !reply.is_wanted() {
            return;
        }
        if let Err(error) = reply.answer(answer)
            && let (Some(mut terminal), PromptAnswer::Allow { .. }) = (terminal(), answer)
        {
            let _ = write!(terminal, "cofferdam: {}\r\n", sentences(&error.message));
        }
    }

    fn name(&self) -> &str {
        "terminal"
    }

    fn settled(&self, id: &PromptId, outcome: PromptOutcome) {
        if let Some(told) = lock(&self.0.told).iter_mut().find(|told| told.prompt.id == *id) {
            told.outcome = Some(outcome);
        }
    }
}

/// The terminal of this process, where it is in the foreground: from the background, reading would stop us.
fn terminal() -> Option<File> {
    let flags = nix::libc::O_NOCTTY;
    let terminal = OpenOptions::new().read(true).write(true).custom_flags(flags).open(Path::new("/dev/tty")).ok()?;
    let foreground = nix::unistd::tcgetpgrp(&terminal).ok()?;
    (foreground == nix::unistd::getpgrp()).then_some(terminal)
}

/// What is asked, in lines. Names are a guest's choice and the policy's lines anybody's: nothing in them steers the terminal.
fn question(prompt: &Prompt) -> String {
    let question = &prompt.question;
    let what = match question.access {
        PromptAccess::Read => "read",
        PromptAccess::Write => "change",
        PromptAccess::Execute => "start",
        PromptAccess::Connect => "connect to",
        _ => question.access.as_str(),
    };
    let who = match &question.program {
        Some(program) => format!("A program that calls itself `{}` wants", shown(program)),
        None if question.access == PromptAccess::Execute => "You are asked".to_owned(),
        None => "The run wants".to_owned(),
    };
    // Whole: a person decides by it.
    let subject = crate::escape::path(Path::new(&question.subject));
    let words: Vec<String> =
        words(prompt.remember).iter().map(|(word, meaning, _)| format!("{word} ({meaning})")).collect();
    let words = words.join(", ");
    format!(
        "cofferdam: {who} to {what}\n  {subject}\n  since the policy says to ask: {} ({})\n  answer with a word: {words}; anything else, or nothing for {} s, is a no\nallow? ",
        shown(&question.rule.text),
        shown(&question.rule.place()),
        prompt.limit_ms / 1000
    )
}

/// The words that say yes, as far as the policy lets an answer be remembered.
fn words(most: Remember) -> Vec<(&'static str, &'static str, PromptAnswer)> {
    let all = [
        ("yes", "this once", PromptAnswer::once(), Remember::Once),
        ("session", "as long as this command runs", PromptAnswer::session(), Remember::Session),
        ("always", "until `cofferdam grants revoke`", PromptAnswer::always(), Remember::Always),
    ];
    all.into_iter()
        .filter(|(.., remember)| *remember <= most)
        .map(|(word, meaning, answer, _)| (word, meaning, answer))
        .collect()
}

fn meant(line: &str, most: Remember) -> PromptAnswer {
    let word = line.trim();
    words(most).into_iter().find(|(own, ..)| *own == word).map_or(PromptAnswer::Deny, |(.., answer)| answer)
}

/// What came of waiting for a line.
enum Line {
    Typed(String),
    None,
    /// Somebody else reads the terminal by now.
    Relayed,
}

/// A line that the terminal itself lets be edited.
fn line(terminal: &mut File, reply: &PromptReply, relayed: impl Fn() -> bool) -> Line {
    let most = PollTimeout::try_from(LOOK).unwrap_or(PollTimeout::ZERO);
    while reply.is_wanted() {
        let mut watched = [PollFd::new(terminal.as_fd(), PollFlags::POLLIN)];
        let ready = match poll(&mut watched, most) {
            Ok(number) => number > 0,
            Err(nix::errno::Errno::EINTR) => false,
            Err(_) => return Line::None,
        };
        if relayed() {
            return Line::Relayed;
        }
        if ready {
            let mut bytes = [0; MOST_ANSWER];
            let Ok(length) = terminal.read(&mut bytes) else { return Line::None };
            return Line::Typed(String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned());
        }
    }
    Line::None
}

/// A line typed on a raw terminal, which shows nothing by itself.
fn typed_line(typed: &Receiver<Vec<u8>>, terminal: &mut File, reply: &PromptReply) -> Option<String> {
    let mut line = String::new();
    while reply.is_wanted() {
        let bytes = match typed.recv_timeout(LOOK) {
            Ok(bytes) => bytes,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return None,
        };
        for byte in bytes {
            match byte {
                b'\r' | b'\n' => {
                    let _ = terminal.write_all(b"\r\n");
                    return Some(line);
                }
                // Ctrl-C, Ctrl-D, Escape.
                3 | 4 | 27 => {
                    // Whoever is flooded with questions must be able to end the program: the terminal is raw, and says so to nobody else.
                    if byte == 3 {
                        let _ = raise(Signal::SIGINT);
                    }
                    let _ = terminal.write_all(b"\r\n");
                    return None;
                }
                8 | 127 if line.pop().is_some() => {
                    let _ = terminal.write_all(b"\x08 \x08");
                }
                b'a'..=b'z' if line.len() < MOST_ANSWER => {
                    line.push(char::from(byte));
                    let _ = terminal.write_all(&[byte]);
                }
                _ => {}
            }
        }
    }
    None
}

/// Nothing here panics with a lock held and leaves something half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_bridge::ids::VmId;
    use cofferdam_bridge::prompt::PromptQuestion;
    use cofferdam_bridge::verdict::RuleRef;

    fn prompt(subject: &str, program: &str, remember: Remember) -> Prompt {
        let rule = RuleRef::new("p.toml", Some(8), "prompt.filesystem.write \"/p\"");
        let mut question = PromptQuestion::new(PromptAccess::Write, subject, rule);
        question.program = Some(program.to_owned());
        Prompt::new(PromptId::new("prompt-1"), VmId::new("vm-1"), question, remember, 120_000)
    }

    #[test]
    fn what_a_question_looks_like() {
        insta::assert_snapshot!(question(&prompt("/p/file", "editor", Remember::Always)));
    }

    #[test]
    fn no_name_steers_the_terminal_or_forges_a_line() {
        let hostile = "\u{1b}[2J\r\nallow? \u{202e}\u{9b}1A";
        let text = question(&prompt(&format!("/p/{hostile}"), hostile, Remember::Once));
        assert!(text.chars().all(|character| character == '\n' || !character.is_control()), "{text}");
        assert_eq!(text.lines().count(), 5, "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("allow?")).count(), 1);
    }

    #[test]
    fn only_the_words_that_are_offered_say_yes() {
        for line in ["", "y", "YES", "yes please", "no", "always", "session", "yes\u{0}"] {
            assert_eq!(meant(line, Remember::Once), PromptAnswer::Deny, "{line}");
        }
        assert_eq!(meant(" yes \n", Remember::Once), PromptAnswer::once());
        assert_eq!(meant("session", Remember::Session), PromptAnswer::session());
        assert_eq!(meant("always", Remember::Session), PromptAnswer::Deny);
        assert_eq!(meant("always", Remember::Always), PromptAnswer::always());
    }
}
