//! Text that comes from a guest or a file, made safe to show: it can neither steer the terminal nor forge a line.

use std::fmt::Write;
use std::path::Path;

/// As many characters of one path or name as a person will read.
const MOST: usize = 200;

/// Escapes control characters, direction marks and invisible characters, and leaves out the middle of what is long.
pub(crate) fn shown(text: &str) -> String {
    let length = text.chars().count();
    if length <= MOST {
        return escaped(text.chars());
    }
    let half = MOST / 2;
    let (head, tail) = (escaped(text.chars().take(half)), escaped(text.chars().skip(length - half)));
    format!("{head}…{tail}")
}

/// As [`shown`], but of whole paths: nothing is left out, since a person decides by them.
pub(crate) fn path(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    let mut text = String::new();
    for part in bytes.utf8_chunks() {
        text.push_str(&escaped(part.valid().chars()));
        for byte in part.invalid() {
            // Writing to a string does not fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// One line of a file's contents: tabs stay.
pub(crate) fn line(text: &str) -> String {
    text.split('\t').map(|part| escaped(part.chars())).collect::<Vec<_>>().join("\t")
}

/// As [`shown`], but for our own sentences: lines stay lines and nothing is left out.
pub(crate) fn sentences(text: &str) -> String {
    text.lines().map(|line| escaped(line.chars())).collect::<Vec<_>>().join("\n")
}

/// JSON text in which nothing steers a terminal: RFC 8259 lets any character of a string be escaped, and serde_json escapes only
/// those below a space.
pub(crate) fn json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        // All of them are in the basic plane, so four digits will do.
        if (character.is_control() && character != '\n') || steers(character) {
            let _ = write!(safe, "\\u{:04x}", u32::from(character));
        } else {
            safe.push(character);
        }
    }
    safe
}

fn escaped(characters: impl Iterator<Item = char>) -> String {
    let mut text = String::new();
    for character in characters {
        if character.is_control() || steers(character) {
            // Writing to a string does not fail.
            let _ = write!(text, "\\u{{{:x}}}", u32::from(character));
        } else {
            text.push(character);
        }
    }
    text
}

/// Characters that change direction or are not seen, and line separators.
fn steers(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        for text in ["\u{1b}[2J", "\u{9b}2J", "\u{202e}x", "a\nb", "a\rb", "\u{7f}"] {
            let shown = shown(text);
            assert!(shown.chars().all(|c| !c.is_control() && !steers(c)), "{shown}");
        }
    }

    #[test]
    fn json_says_the_same_without_steering() {
        let value = serde_json::json!({ "a": "\u{9b}2J \u{202e} \u{7f} \u{1b} é" });
        let text = json(&value.to_string());
        assert!(text.chars().all(|c| !c.is_control() && !steers(c)), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    #[test]
    fn a_path_that_is_no_text_is_shown_by_its_bytes() {
        use std::os::unix::ffi::OsStrExt;
        let hostile = std::ffi::OsStr::from_bytes(b"a\nb\x1b[2J\xff");
        assert_eq!(path(Path::new(hostile)), "a\\u{a}b\\u{1b}[2J\\xff");
        assert_eq!(line("\tx\u{1b}"), "\tx\\u{1b}");
    }

    #[test]
    fn a_long_name_loses_its_middle() {
        let shown = shown(&format!("begin{}end", "x".repeat(5000)));
        assert!(shown.starts_with("begin") && shown.ends_with("end"));
        assert_eq!(shown.chars().count(), MOST + 1);
    }
}
