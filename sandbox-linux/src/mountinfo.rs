//! What is mounted, as proc_pid_mountinfo(5) tells it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// One mount.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mount<'a> {
    /// Where it is.
    pub(crate) place: PathBuf,
    /// The type of its file system; empty where the line ends before it.
    pub(crate) kind: &'a [u8],
}

/// The mounts that `text` lists: the fifth field of each line, and the type behind the hyphen.
pub(crate) fn mounts(text: &[u8]) -> impl Iterator<Item = Mount<'_>> {
    text.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let place = PathBuf::from(OsString::from_vec(unescaped(fields.nth(4)?)));
        Some(Mount { place, kind: fields.skip_while(|field| *field != b"-").nth(1).unwrap_or_default() })
    })
}

/// Blanks, tabs, line ends and backslashes stand as a backslash and three octal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                plain.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_as_the_kernel_writes_them() {
        assert_eq!(unescaped(br"/a\040b\134c"), b"/a b\\c");
        assert_eq!(unescaped(br"/plain\"), br"/plain\");
    }

    #[test]
    fn a_line_that_ends_early_still_tells_its_place() {
        let told: Vec<_> = mounts(b"1 2 0:3 / /whole rw - proc proc rw\n4 5 0:6 / /cut\n\nx\n").collect();
        assert_eq!(told.len(), 2);
        assert_eq!((told[0].kind, told[1].kind), (&b"proc"[..], &b""[..]));
        assert_eq!(told[1].place, PathBuf::from("/cut"));
    }
}
