//! What a plane's process says on its standard error, on its way to a person: line by line, and so that it can neither steer a terminal
//! nor pass for somebody else's words.

use cofferdam_bridge::policy_line::steers;
use std::fmt::{self, Write as _};
use std::io::{self, ErrorKind, Read, Write as _};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// A line that is longer is cut into several.
const LONGEST_LINE: usize = 4096;

/// How long the last words of a plane that has ended are waited for: who reads them may have stopped.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Takes a line, escaped and without its end.
pub(crate) type Listener = Arc<dyn Fn(&str) + Send + Sync>;

/// The thread that carries what one process says.
pub(crate) struct Complaints(Receiver<()>);

impl fmt::Debug for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Complaints").finish_non_exhaustive()
    }
}

impl Complaints {
    /// Carries what comes out of `pipe` until its end.
    pub(crate) fn carry(mut pipe: impl Read + Send + 'static, listener: Listener) -> io::Result<Self> {
        let (over, ended) = channel();
        thread::Builder::new().name("cofferdam-wire-stderr".to_owned()).stack_size(128 * 1024).spawn(move || {
            let mut lines = Lines::default();
            let mut room = vec![0; LONGEST_LINE];
            loop {
                match pipe.read(&mut room) {
                    Ok(0) => break,
                    Ok(bytes) => lines.take(room.get(..bytes).unwrap_or_default(), &mut |line| listener(line)),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
            lines.end(&mut |line| listener(line));
            // Nobody waits for a process that is still there.
            let _ = over.send(());
        })?;
        Ok(Self(ended))
    }

    /// Waits for the last words of a process of which nothing is left.
    pub(crate) fn end(self) {
        let _ = self.0.recv_timeout(LAST_WORDS);
    }
}

/// Tells lines on the standard error of this process, each with the plane's name before it.
pub(crate) fn on_standard_error(name: &str) -> Listener {
    let name = shown(name.as_bytes());
    Arc::new(move |line| {
        // When standard error cannot be written there is nobody to tell.
        let _ = io::stderr().lock().write_all(format!("{name}: {line}\n").as_bytes());
    })
}

/// Cuts bytes into lines, none of them longer than the bound.
#[derive(Debug, Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn take(&mut self, bytes: &[u8], tell: &mut dyn FnMut(&str)) {
        for byte in bytes {
            if *byte == b'\n' || self.0.len() >= LONGEST_LINE {
                tell(&shown(&std::mem::take(&mut self.0)));
            }
            if *byte != b'\n' {
                self.0.push(*byte);
            }
        }
    }

    fn end(&mut self, tell: &mut dyn FnMut(&str)) {
        if !self.0.is_empty() {
            tell(&shown(&std::mem::take(&mut self.0)));
        }
    }
}

/// A line with everything escaped that is not seen as it is; tabs stay.
fn shown(line: &[u8]) -> String {
    let mut text = String::with_capacity(line.len());
    for part in line.utf8_chunks() {
        for character in part.valid().chars() {
            if character != '\t' && (character.is_control() || steers(character)) {
                // Writing to a string does not fail.
                let _ = write!(text, "\\u{{{:x}}}", u32::from(character));
            } else {
                text.push(character);
            }
        }
        for byte in part.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(parts: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut told) = (Lines::default(), Vec::new());
        for part in parts {
            lines.take(part, &mut |line| told.push(line.to_owned()));
        }
        lines.end(&mut |line| told.push(line.to_owned()));
        told
    }

    #[test]
    fn what_steers_a_terminal_is_escaped_and_words_stay() {
        let told = lines(&[b"a\tb\x1b[2J\r\xff\xc2", b"\x9b\n", "\u{202e}é".as_bytes()]);
        assert_eq!(told, ["a\tb\\u{1b}[2J\\u{d}\\xff\\u{9b}", "\\u{202e}é"]);
    }

    #[test]
    fn a_line_without_an_end_is_cut() {
        let told = lines(&[&[b'x'; 3 * LONGEST_LINE], b"\n\ny"]);
        assert_eq!(told.iter().map(String::len).collect::<Vec<_>>(), [LONGEST_LINE, LONGEST_LINE, LONGEST_LINE, 0, 1]);
    }
}
