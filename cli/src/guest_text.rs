//! What a guest prints, on its way to a terminal: bytes that come in pieces, as text that can steer nothing.

use crate::escape;

/// The longest character of UTF-8.
const LONGEST: usize = 4;

/// One stream of a guest's. Lines and tabs stay; every other control character is shown by its number.
#[derive(Debug, Default)]
pub(crate) struct GuestText {
    /// The beginning of a character, or of the end of a line, whose rest is still to come.
    rest: Vec<u8>,
}

impl GuestText {
    /// What is to be shown of the next piece.
    pub(crate) fn shown(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.rest);
        all.extend_from_slice(bytes);
        let whole = all.len() - unfinished(&all);
        self.rest = all.split_off(whole);
        text(&all)
    }

    /// What was left, when nothing more comes.
    pub(crate) fn end(&mut self) -> String {
        text(&std::mem::take(&mut self.rest))
    }
}

/// How many bytes at the end are only the beginning of something.
fn unfinished(bytes: &[u8]) -> usize {
    if bytes.last() == Some(&b'\r') {
        return 1;
    }
    let from = bytes.len().saturating_sub(LONGEST - 1);
    let tail = bytes.get(from..).unwrap_or_default();
    match std::str::from_utf8(tail) {
        // No end was there when more was needed: the rest may complete it.
        Err(error) if error.error_len().is_none() => tail.len() - error.valid_up_to(),
        Err(_) => {
            // The piece may begin within a character; what begins later may be unfinished all the same.
            let last = tail.utf8_chunks().last().map_or(0, |chunk| chunk.invalid().len());
            let lead = bytes.len().checked_sub(last).and_then(|at| bytes.get(at)).copied().unwrap_or(0);
            if matches!(lead, 0xc2..=0xf4) && last < length(lead) { last } else { 0 }
        }
        Ok(_) => 0,
    }
}

/// How long a character is that begins so (RFC 3629, section 3).
fn length(lead: u8) -> usize {
    match lead {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => LONGEST,
    }
}

fn text(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid().replace("\r\n", "\n");
        let lines: Vec<String> = valid.split('\n').map(escape::line).collect();
        shown.push_str(&lines.join("\n"));
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_pieces(bytes: &[u8], size: usize) -> String {
        let mut guest = GuestText::default();
        let mut shown: String = bytes.chunks(size).map(|piece| guest.shown(piece)).collect();
        shown.push_str(&guest.end());
        shown
    }

    #[test]
    fn however_it_is_cut_the_same_is_shown_and_nothing_steers() {
        let bytes = "plain\tline\r\nümlaut 😀\x1b]0;title\x07\u{9b}2J\u{202e}\r over".as_bytes();
        let bytes = [bytes, &[0xff, 0x80, b'x', 0xe2, 0x82]].concat();
        let expected = in_pieces(&bytes, bytes.len());
        assert_eq!(
            expected,
            "plain\tline\nümlaut 😀\\u{1b}]0;title\\u{7}\\u{9b}2J\\u{202e}\\u{d} over\\xff\\x80x\\xe2\\x82"
        );
        for size in 1..bytes.len() {
            assert_eq!(in_pieces(&bytes, size), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn nothing_whole_is_held_back() {
        let mut guest = GuestText::default();
        assert_eq!(guest.shown(b"prompt> "), "prompt> ");
        assert_eq!(guest.shown("ü".as_bytes()), "ü");
        assert_eq!(guest.shown(&[0xff]), "\\xff");
    }
}
