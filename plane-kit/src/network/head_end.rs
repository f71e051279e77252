//! Where a head ends, and when one that comes in pieces is worth reading: looked at from its start at each piece, one that comes byte by byte would cost as
//! much as its length squared.

/// As many bytes as are read at each piece: a beginning that is no head is told at once.
const SHORT: usize = 64;

/// What is known of the head that comes now.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadEnd {
    longest: usize,
    /// Bytes that were searched for an end.
    searched: usize,
    /// Bytes that there were when it was last worth reading.
    read: usize,
    has_line: bool,
}

impl HeadEnd {
    /// For a head of at most `longest` bytes.
    pub(super) fn new(longest: usize) -> Self {
        Self { longest, searched: 0, read: 0, has_line: false }
    }

    /// Whether `bytes`, all of the head that has come so far, are worth reading: they may be whole, or too many, their first line has ended, or
    /// they have become twice as many since, so that what is broken is seen soon. Only what is new of them is searched.
    pub(super) fn is_due(&mut self, bytes: &[u8]) -> bool {
        // An end may lie across two pieces: an empty line, however its lines end (RFC 9112, 2.2), has three bytes at most.
        let new = bytes.get(self.searched.saturating_sub(2)..).unwrap_or_default();
        let ends = new.windows(2).any(|two| two == b"\n\n") || new.windows(3).any(|three| three == b"\n\r\n");
        let first_line = !self.has_line && new.contains(&b'\n');
        self.has_line |= first_line;
        self.searched = bytes.len();
        let is_due = ends
            || first_line
            || bytes.len() <= SHORT
            || bytes.len() > self.longest
            || bytes.len() >= self.read.saturating_mul(2);
        if is_due {
            self.read = bytes.len();
        }
        is_due
    }
}

/// Where a head ends: after an empty line, however its lines end.
pub(super) fn of(bytes: &[u8]) -> Option<usize> {
    let feeds = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    feeds.map(|at| (at, bytes.get(at + 1..).unwrap_or_default())).find_map(|(at, rest)| match rest {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: usize = 32 << 10;

    /// How often a head is read, and how many bytes of it, where it comes in pieces of `step`.
    fn cost(head: &[u8], step: usize) -> (usize, usize) {
        let mut due = HeadEnd::new(LONGEST);
        let lengths = (1..=head.len()).filter(|length| length % step == 0 || *length == head.len());
        let read: Vec<usize> = lengths.filter(|length| due.is_due(&head[..*length])).collect();
        assert_eq!(read.last(), Some(&head.len()), "its end was not seen");
        (read.len(), read.iter().sum())
    }

    #[test]
    fn net_29_a_head_costs_no_more_than_its_length_however_it_comes() {
        let field = format!("X: {}\r\n", "y".repeat(200));
        let head = format!("GET / HTTP/1.1\r\n{}\r\n", field.repeat(150));
        assert!(head.len() > 30_000 && head.len() < LONGEST);
        for step in [1, 2, 3, 7, 1000, head.len()] {
            let (times, bytes) = cost(head.as_bytes(), step);
            assert!(times <= SHORT + 16 && bytes <= SHORT * SHORT + 4 * head.len(), "{step}: {times} times, {bytes}");
        }
    }

    #[test]
    fn every_end_is_seen_wherever_it_is_cut() {
        for end in ["\n\n", "\n\r\n", "\r\n\r\n", "\r\n\n"] {
            let head = format!("GET / HTTP/1.1\r\nX: {}{end}", "y".repeat(700));
            for cut in 1..head.len() {
                let mut due = HeadEnd::new(LONGEST);
                due.is_due(&head.as_bytes()[..cut]);
                assert!(due.is_due(head.as_bytes()), "{end:?} cut at {cut}");
            }
        }
        // What is too long is, too, and from then on always.
        let mut due = HeadEnd::new(100);
        let long = [b'x'; 102];
        assert!(due.is_due(&long[..90]) && !due.is_due(&long[..99]) && due.is_due(&long[..101]) && due.is_due(&long));
    }
}
