//! By what it is known that a persistent command is ready to be used.

use super::spec::invalid;
use cofferdam_bridge::error::BridgeError;

/// Bytes of a line that are looked at: a program that never ends its line makes nobody hold all of it.
const LONGEST_LINE: usize = 64 * 1024;

/// By what a command is known to be ready.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Readiness {
    /// A program of it accepts TCP connections at this port, in the network of the session.
    Port(u16),
    /// It prints such a line.
    Line(LinePattern),
}

/// What a line must hold: this text, in which `*` is any run of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinePattern(Vec<String>);

impl LinePattern {
    /// The pattern that `text` is.
    ///
    /// # Errors
    /// `session_invalid` for one that every line would match.
    pub fn new(text: &str) -> Result<Self, BridgeError> {
        let parts: Vec<_> = text.split('*').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        if parts.is_empty() || text.contains(['\n', '\r']) {
            return Err(invalid(
                "a pattern for a line is empty, would match any line, or holds the end of one; name a part of the line",
            ));
        }
        Ok(Self(parts))
    }

    /// Whether `line` holds the parts, one after the other.
    pub fn is_in(&self, line: &str) -> bool {
        let after = |rest: Option<usize>, part: &String| {
            let from = rest?;
            line.get(from..)?.find(part.as_str()).map(|at| from + at + part.len())
        };
        self.0.iter().fold(Some(0), after).is_some()
    }
}

/// Watches one stream for a line.
#[derive(Debug)]
pub(super) struct LineWatch {
    pattern: LinePattern,
    line: Vec<u8>,
}

impl LineWatch {
    pub(super) fn new(pattern: LinePattern) -> Self {
        Self { pattern, line: Vec::new() }
    }

    /// Takes what was printed; answers whether such a line was among it. A line that has not ended yet counts as well: prompts do not.
    pub(super) fn take(&mut self, bytes: &[u8]) -> bool {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LONGEST_LINE.saturating_sub(self.line.len());
            self.line.extend(piece.iter().take(room));
            if self.pattern.is_in(&String::from_utf8_lossy(&self.line)) {
                return true;
            }
            if piece.ends_with(b"\n") {
                self.line.clear();
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, pieces: &[&str]) -> bool {
        let mut watch = LineWatch::new(LinePattern::new(pattern).unwrap());
        pieces.iter().any(|piece| watch.take(piece.as_bytes()))
    }

    #[test]
    fn a_line_is_found_however_it_is_cut() {
        assert!(found("ready to accept", &["starting\nread", "y to acc", "ept connections\n"]));
        assert!(!found("ready to accept", &["ready\n", "to accept\n"]), "no line holds it");
        assert!(found("> ", &["Welcome\n> "]), "a prompt ends no line");
    }

    #[test]
    fn a_star_is_any_run_within_the_line() {
        assert!(found("Serving*port 80*", &["Serving HTTP on :: port 8000\n"]));
        assert!(!found("port*Serving", &["Serving HTTP on :: port 8000\n"]), "in this order");
        assert!(!found("aa*a", &["aa\n"]), "parts do not overlap");
        for text in ["", "*", "**", "a\nb"] {
            assert!(LinePattern::new(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_line_without_end_is_not_held() {
        let mut watch = LineWatch::new(LinePattern::new("never").unwrap());
        for _ in 0..8 {
            assert!(!watch.take(&[b'x'; LONGEST_LINE]));
        }
        assert!(watch.line.len() <= LONGEST_LINE);
    }
}
