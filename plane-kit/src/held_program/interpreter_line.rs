//! The first line of a script, read as the kernel reads it (`fs/binfmt_script.c`; execve(2), "Interpreter scripts").

/// Bytes of a file that are looked at (`BINPRM_BUF_SIZE`).
pub(super) const MOST_BYTES: usize = 256;

/// What a script names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InterpreterLine {
    /// The interpreter.
    pub(super) interpreter: String,
    /// Everything after it, as one argument.
    pub(super) argument: Option<String>,
}

/// A line that names no interpreter, or is cut off in the middle of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unusable;

/// The line at the beginning of `head`, the first [`MOST_BYTES`] of a file; none where there is none.
pub(super) fn read(head: &[u8]) -> Result<Option<InterpreterLine>, Unusable> {
    let Some(line) = head.strip_prefix(b"#!") else { return Ok(None) };
    let end = line.iter().position(|byte| *byte == b'\n');
    // A file that is shorter than what is looked at ends the line, as the zeros do that the kernel puts there.
    let whole = end.is_some() || head.len() < MOST_BYTES;
    let line = line.get(..end.unwrap_or(line.len())).unwrap_or_default();
    let line = line.get(line.iter().take_while(|byte| is_blank(byte)).count()..).unwrap_or_default();
    let name_end = line.iter().position(|byte| is_blank(byte) || *byte == 0);
    if name_end.is_none() && !whole {
        return Err(Unusable);
    }
    let (name, rest) = line.split_at_checked(name_end.unwrap_or(line.len())).ok_or(Unusable)?;
    let interpreter = text(name)?;
    if interpreter.is_empty() {
        return Err(Unusable);
    }
    let rest = text(rest.split(|byte| *byte == 0).next().unwrap_or_default())?;
    let argument = rest.trim_matches([' ', '\t']);
    Ok(Some(InterpreterLine { interpreter, argument: (!argument.is_empty()).then(|| argument.to_owned()) }))
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn text(bytes: &[u8]) -> Result<String, Unusable> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Unusable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(head: &[u8]) -> Option<(String, Option<String>)> {
        read(head).unwrap().map(|line| (line.interpreter, line.argument))
    }

    fn some(interpreter: &str, argument: Option<&str>) -> Option<(String, Option<String>)> {
        Some((interpreter.to_owned(), argument.map(str::to_owned)))
    }

    #[test]
    fn a_line_is_read_as_the_kernel_reads_it() {
        assert_eq!(line(b"\x7fELF"), None);
        assert_eq!(line(b""), None);
        assert_eq!(line(b"#!/bin/sh\necho"), some("/bin/sh", None));
        assert_eq!(line(b"#! \t/bin/sh \t\n"), some("/bin/sh", None));
        assert_eq!(line(b"#!/usr/bin/env -S a  b \n"), some("/usr/bin/env", Some("-S a  b")));
        assert_eq!(line(b"#!/bin/sh"), some("/bin/sh", None));
        assert_eq!(line(b"#!/bin/sh\0x\n"), some("/bin/sh", None));
    }

    #[test]
    fn a_line_without_a_name_or_with_half_of_one_is_unusable() {
        for head in [&b"#!"[..], b"#!\n/bin/sh", b"#!  \n", b"#!\0", b"#!/\xff\n"] {
            assert_eq!(read(head), Err(Unusable), "{head:?}");
        }
        let mut long = b"#!/".to_vec();
        long.resize(MOST_BYTES, b'x');
        assert_eq!(read(&long), Err(Unusable));
        long.truncate(200);
        long.push(b' ');
        long.resize(MOST_BYTES, b'y');
        assert_eq!(line(&long).unwrap().0.len(), 198, "only the argument is cut off");
    }
}
