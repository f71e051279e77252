//! The text of a profile as nested lists: the part of Scheme that profiles without procedures are made of.

/// A piece of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A name: `allow`, `file-read*`, `1`.
    Symbol(String),
    /// `"…"`.
    Text(String),
    /// `#"…"`, in which a backslash is a character of the expression and no escape.
    Raw(String),
    /// `( … )`, with the line on which it begins.
    List(Vec<Self>, usize),
}

/// Reads a whole profile.
pub(super) fn read(text: &str) -> Result<Vec<Form>, String> {
    let mut reader = Reader { rest: text.chars().peekable(), line: 1 };
    let mut forms = Vec::new();
    loop {
        reader.skip_blank();
        if reader.rest.peek().is_none() {
            return Ok(forms);
        }
        forms.push(reader.form(0)?);
    }
}

/// As deep as lists may lie in one another: no profile needs more, and none may exhaust the stack.
const DEEPEST: usize = 64;

struct Reader<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let character = self.rest.next()?;
        self.line += usize::from(character == '\n');
        Some(character)
    }

    fn skip_blank(&mut self) {
        while let Some(character) = self.rest.peek() {
            if *character == ';' {
                while self.rest.peek().is_some_and(|character| *character != '\n') {
                    self.next();
                }
            } else if character.is_whitespace() {
                self.next();
            } else {
                return;
            }
        }
    }

    fn form(&mut self, depth: usize) -> Result<Form, String> {
        let line = self.line;
        let fault = |what: &str| Err(format!("line {line}: {what}"));
        match self.rest.peek() {
            Some('(') if depth >= DEEPEST => fault("lists lie too deep in one another"),
            Some('(') => {
                self.next();
                let mut list = Vec::new();
                loop {
                    self.skip_blank();
                    match self.rest.peek() {
                        None => return fault("this `(` has no `)`"),
                        Some(')') => {
                            self.next();
                            return Ok(Form::List(list, line));
                        }
                        Some(_) => list.push(self.form(depth + 1)?),
                    }
                }
            }
            Some(')') => fault("this `)` has no `(`"),
            Some('"') => {
                self.next();
                self.quoted(line, false).map(Form::Text)
            }
            Some('#') => {
                self.next();
                if self.next() != Some('"') {
                    return fault("`#` stands before something other than an expression");
                }
                self.quoted(line, true).map(Form::Raw)
            }
            _ => {
                let mut name = String::new();
                let ends = |character: &char| character.is_whitespace() || matches!(character, '(' | ')' | '"' | ';');
                while let Some(character) = self.rest.peek().copied().filter(|character| !ends(character)) {
                    name.push(character);
                    self.next();
                }
                if name.is_empty() {
                    fault("the profile ends where something must stand")
                } else {
                    Ok(Form::Symbol(name))
                }
            }
        }
    }

    fn quoted(&mut self, line: usize, raw: bool) -> Result<String, String> {
        let mut text = String::new();
        while let Some(character) = self.next() {
            match character {
                '"' => return Ok(text),
                '\\' if raw => {
                    text.push(character);
                    text.extend(self.next());
                }
                '\\' => match self.next() {
                    Some(escaped @ ('"' | '\\')) => text.push(escaped),
                    other => {
                        return Err(format!("line {line}: the escape `\\{}` is not known here", other.unwrap_or(' ')));
                    }
                },
                other => text.push(other),
            }
        }
        Err(format!("line {line}: this text has no end"))
    }
}
