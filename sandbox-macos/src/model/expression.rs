//! Regular expressions as profiles write them, in time that is the product of the lengths.
//!
//! The kernel's matcher is no library that runs elsewhere, and others read some of the same text otherwise. This one knows
//! what profiles are seen to use, `^ $ . * + ? | ( ) [ ]` and escaped characters, and refuses all else. It finds a match anywhere
//! in the path, as `^/dev/ttys[0-9]+` in Chromium's and Apple's profiles needs to match `/dev/ttys001` whole.

/// Whether a matcher sees a path as bytes or as characters. Which of them the kernel does is not documented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Units {
    /// Each byte of the UTF-8 form by itself.
    Bytes,
    /// Each Unicode character.
    Characters,
}

/// An expression made ready.
#[derive(Clone, Debug)]
pub struct Expression {
    bytes: Vec<Step>,
    characters: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    One(u32),
    Any,
    Class {
        negated: bool,
        ranges: Vec<(u32, u32)>,
    },
    /// Goes on at both.
    Split(usize, usize),
    Jump(usize),
    Start,
    End,
    Done,
}

#[derive(Clone, Debug)]
enum Node {
    Empty,
    One(char),
    Any,
    Class { negated: bool, ranges: Vec<(char, char)> },
    Sequence(Vec<Self>),
    Either(Vec<Self>),
    Repeat { inner: Box<Self>, none: bool, many: bool },
    Start,
    End,
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// A sentence that names what is not understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let characters: Vec<char> = text.chars().collect();
        let mut reader = Reader { text: &characters, at: 0 };
        let node = reader.either()?;
        if reader.at < characters.len() {
            return Err(format!("`{text}` has a `)` without its `(`"));
        }
        let compile = |units| {
            let mut steps = Vec::new();
            compile(&node, units, &mut steps);
            steps.push(Step::Done);
            steps
        };
        Ok(Self { bytes: compile(Units::Bytes), characters: compile(Units::Characters) })
    }

    /// Whether it matches somewhere in `text`.
    pub fn matches(&self, text: &str, units: Units) -> bool {
        match units {
            Units::Bytes => run(&self.bytes, text.bytes().map(u32::from)),
            Units::Characters => run(&self.characters, text.chars().map(u32::from)),
        }
    }

    /// Whether it matches, where bytes and characters must give the same answer.
    ///
    /// # Panics
    /// Where they do not.
    #[cfg(test)]
    pub(crate) fn matches_both_ways(&self, text: &str) -> bool {
        let answer = self.matches(text, Units::Characters);
        assert_eq!(answer, self.matches(text, Units::Bytes), "{text:?}");
        answer
    }
}

struct Reader<'a> {
    text: &'a [char],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += 1;
        Some(character)
    }

    fn either(&mut self) -> Result<Node, String> {
        let mut ways = vec![self.sequence()?];
        while self.peek() == Some('|') {
            self.at += 1;
            ways.push(self.sequence()?);
        }
        Ok(if ways.len() == 1 { ways.swap_remove(0) } else { Node::Either(ways) })
    }

    fn sequence(&mut self) -> Result<Node, String> {
        let mut nodes = Vec::new();
        while let Some(character) = self.peek().filter(|character| !matches!(character, '|' | ')')) {
            self.at += 1;
            let node = match character {
                '^' => Node::Start,
                '$' => Node::End,
                '.' => Node::Any,
                '(' => {
                    let inner = self.either()?;
                    if self.next() != Some(')') {
                        return Err("a `(` has no `)`".to_owned());
                    }
                    inner
                }
                '[' => self.class()?,
                '\\' => match self.next() {
                    // Letters after a backslash mean classes to some matchers: none is used here.
                    Some(escaped) if !escaped.is_alphanumeric() => Node::One(escaped),
                    other => return Err(format!("`\\` stands before {other:?}")),
                },
                '*' | '+' | '?' | '{' | '}' | ']' => {
                    return Err(format!("`{character}` stands where nothing is repeated"));
                }
                other => Node::One(other),
            };
            nodes.push(self.repeated(node)?);
        }
        Ok(match nodes.len() {
            0 => Node::Empty,
            1 => nodes.swap_remove(0),
            _ => Node::Sequence(nodes),
        })
    }

    fn repeated(&mut self, node: Node) -> Result<Node, String> {
        let (none, many) = match self.peek() {
            Some('*') => (true, true),
            Some('+') => (false, true),
            Some('?') => (true, false),
            _ => return Ok(node),
        };
        self.at += 1;
        if matches!(self.peek(), Some('*' | '+' | '?' | '{')) {
            return Err("a repetition is repeated, which matchers read in different ways".to_owned());
        }
        Ok(Node::Repeat { inner: Box::new(node), none, many })
    }

    fn class(&mut self) -> Result<Node, String> {
        let negated = self.peek() == Some('^');
        if negated {
            self.at += 1;
        }
        let mut ranges = Vec::new();
        loop {
            let first = match self.next() {
                None => return Err("a `[` has no `]`".to_owned()),
                Some(']') if ranges.is_empty() => return Err("a class begins with `]`, or is empty".to_owned()),
                Some(']') => return Ok(Node::Class { negated, ranges }),
                // In a bracket POSIX takes a backslash for itself and others for an escape.
                Some('\\' | '[') => {
                    return Err("a class holds `\\` or `[`, which matchers read in different ways".to_owned());
                }
                Some(other) => other,
            };
            let mut last = first;
            if self.peek() == Some('-') && self.text.get(self.at + 1).is_some_and(|next| *next != ']') {
                self.at += 1;
                last = self.next().unwrap_or(first);
                if matches!(last, '\\' | '[') || last < first {
                    return Err("a range of a class ends before it begins".to_owned());
                }
            }
            ranges.push((first, last));
        }
    }
}

fn compile(node: &Node, units: Units, steps: &mut Vec<Step>) {
    match node {
        Node::Empty => {}
        Node::Start => steps.push(Step::Start),
        Node::End => steps.push(Step::End),
        Node::Any => steps.push(Step::Any),
        Node::One(character) => match units {
            Units::Characters => steps.push(Step::One(u32::from(*character))),
            Units::Bytes => {
                let mut buffer = [0; 4];
                steps.extend(character.encode_utf8(&mut buffer).bytes().map(|byte| Step::One(u32::from(byte))));
            }
        },
        Node::Class { negated, ranges } => {
            let ranges = ranges.iter().map(|(first, last)| (u32::from(*first), u32::from(*last))).collect();
            steps.push(Step::Class { negated: *negated, ranges });
        }
        Node::Sequence(nodes) => nodes.iter().for_each(|node| compile(node, units, steps)),
        Node::Either(ways) => {
            let mut ends = Vec::new();
            for (at, way) in ways.iter().enumerate() {
                let split = steps.len();
                let more = at + 1 < ways.len();
                if more {
                    steps.push(Step::Split(split + 1, 0));
                }
                compile(way, units, steps);
                if more {
                    ends.push(steps.len());
                    steps.push(Step::Jump(0));
                    let next = steps.len();
                    set(steps, split, Step::Split(split + 1, next));
                }
            }
            let end = steps.len();
            ends.into_iter().for_each(|at| set(steps, at, Step::Jump(end)));
        }
        Node::Repeat { inner, none, many } => {
            let start = steps.len();
            if *none {
                steps.push(Step::Split(start + 1, 0));
            }
            compile(inner, units, steps);
            if *many {
                let here = steps.len();
                steps.push(Step::Split(start, here + 1));
            }
            let end = steps.len();
            if *none {
                set(steps, start, Step::Split(start + 1, end));
            }
        }
    }
}

fn set(steps: &mut [Step], at: usize, step: Step) {
    if let Some(own) = steps.get_mut(at) {
        *own = step;
    }
}

/// Follows all ways at once.
fn run(steps: &[Step], text: impl Iterator<Item = u32>) -> bool {
    let mut here = vec![false; steps.len()];
    let mut text = text.peekable();
    let mut first = true;
    loop {
        let last = text.peek().is_none();
        if reach(steps, &mut here, 0, first, last) {
            return true;
        }
        let Some(unit) = text.next() else { return false };
        let mut next = vec![false; steps.len()];
        let last = text.peek().is_none();
        let mut done = false;
        for (at, step) in steps.iter().enumerate() {
            if here.get(at) != Some(&true) {
                continue;
            }
            let matched = match step {
                Step::One(own) => *own == unit,
                Step::Any => true,
                Step::Class { negated, ranges } => {
                    ranges.iter().any(|(first, last)| (*first..=*last).contains(&unit)) != *negated
                }
                _ => false,
            };
            if matched {
                done |= reach(steps, &mut next, at + 1, false, last);
            }
        }
        if done {
            return true;
        }
        here = next;
        first = false;
    }
}

/// Marks what can be reached from `at` without a further unit; answers whether that is the end.
fn reach(steps: &[Step], here: &mut [bool], at: usize, first: bool, last: bool) -> bool {
    let mut open = vec![at];
    while let Some(at) = open.pop() {
        match here.get_mut(at) {
            Some(seen) if !*seen => *seen = true,
            _ => continue,
        }
        match steps.get(at) {
            Some(Step::Done) => return true,
            Some(Step::Jump(to)) => open.push(*to),
            Some(Step::Split(one, other)) => open.extend([*one, *other]),
            Some(Step::Start) if first => open.push(at + 1),
            Some(Step::End) if last => open.push(at + 1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(expression: &str, text: &str) -> bool {
        Expression::parse(expression).unwrap().matches_both_ways(text)
    }

    #[test]
    fn what_profiles_use_means_what_it_means_everywhere() {
        for (expression, text, expected) in [
            ("^/dev/ttys[0-9]+", "/dev/ttys001", true),
            ("^/dev/ttys[0-9]+$", "/dev/ttys", false),
            ("b", "abc", true),
            ("^b", "abc", false),
            ("^a|c$", "xc", true),
            (r"\.plist$", "/a.plist", true),
            (r"\.plist$", "/axplist", false),
            ("^(/[^/]+)*$", "/a/b", true),
            ("^(/[^/]+)*$", "", true),
            ("^(/[^/]+)*$", "/a//b", false),
            ("^(ab|a)(c)?$", "abc", true),
            ("^(a|)b$", "b", true),
            ("^a?b+$", "bb", true),
            ("^.$", "x", true),
            ("^[^a-c]$", "d", true),
            ("^ü$", "ü", true),
        ] {
            assert_eq!(matches(expression, text), expected, "{expression} {text}");
        }
    }

    #[test]
    fn a_dot_is_one_byte_or_one_character() {
        let dot = Expression::parse("^.$").unwrap();
        assert!(dot.matches("ü", Units::Characters) && !dot.matches("ü", Units::Bytes));
    }

    #[test]
    fn what_matchers_read_in_different_ways_is_refused() {
        for text in ["(", ")", "[", "[]", "[]a]", "a**", "a{2}", "*a", r"\d", r"[\d]", "[[]", "a]", r"a\"] {
            assert!(Expression::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_makes_it_slow() {
        let expression = format!("^{}b$", "(a*)*".repeat(20).replace(")*", ")?"));
        assert!(!matches(&expression, &"a".repeat(2000)));
    }
}
