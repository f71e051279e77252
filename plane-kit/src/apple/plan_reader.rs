//! Reads a plan as `keeper/src/format.rs` tells, for the keeper's program of macOS.

use crate::keeper_format::flag;
use std::ffi::CString;

/// What a keeper is to start.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KeeperPlan {
    pub(crate) terminal: bool,
    /// Whether what the program started may go on after its end.
    pub(crate) output_wait: bool,
    /// Number (as Linux has it) and value.
    pub(crate) limits: Vec<(u32, u64)>,
    pub(crate) directory: CString,
    pub(crate) program: CString,
    pub(crate) arguments: Vec<CString>,
    pub(crate) variables: Vec<CString>,
}

/// Most entries of a list: no kernel takes as many arguments.
const MOST: u32 = 1 << 20;

/// Reads `bytes`; none for what is no plan.
pub(crate) fn read(mut bytes: &[u8]) -> Option<KeeperPlan> {
    let flags = number(&mut bytes)?;
    // The host's process id is of no use here: its end is the end of the socket.
    number(&mut bytes)?;
    let count = number(&mut bytes)?;
    let limits = (0..count.min(MOST)).map(|_| Some((number(&mut bytes)?, long(&mut bytes)?))).collect::<Option<_>>()?;
    let (directory, program) = (text(&mut bytes)?, text(&mut bytes)?);
    let (arguments, variables) = (texts(&mut bytes)?, texts(&mut bytes)?);
    if flags & (flag::HELD | flag::GROUP) != 0 || !bytes.is_empty() {
        // Nothing is executed by its descriptor here, and there are no cgroups.
        return None;
    }
    let (terminal, output_wait) = (flags & flag::TERMINAL != 0, flags & flag::OUTPUT_WAIT != 0);
    Some(KeeperPlan { terminal, output_wait, limits, directory, program, arguments, variables })
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn number(bytes: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(take(bytes, 4)?.try_into().ok()?))
}

fn long(bytes: &mut &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(take(bytes, 8)?.try_into().ok()?))
}

fn text(bytes: &mut &[u8]) -> Option<CString> {
    let length = usize::try_from(number(bytes)?).ok()?;
    let text = take(bytes, length.checked_add(1)?)?;
    CString::from_vec_with_nul(text.to_vec()).ok()
}

fn texts(bytes: &mut &[u8]) -> Option<Vec<CString>> {
    let count = number(bytes)?;
    if count > MOST {
        return None;
    }
    (0..count).map(|_| text(bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper_plan::{ProgramPlan, ResourceLimit};

    fn plan() -> ProgramPlan {
        ProgramPlan {
            program: "/bin/sh".into(),
            held: None,
            arguments: vec!["sh".to_owned(), "-c".to_owned(), "true ü\n".to_owned()],
            variables: vec!["PATH=/bin".to_owned()],
            directory: "/tmp".into(),
            terminal: true,
            output_wait: true,
            task_group: None,
            limits: vec![ResourceLimit::CpuSeconds(3), ResourceLimit::OpenFiles(64)],
        }
    }

    #[test]
    fn a_plan_is_read_as_it_was_written() {
        let read = read(&plan().bytes().unwrap()).unwrap();
        assert_eq!(read.program.as_c_str(), c"/bin/sh");
        assert_eq!(read.directory.as_c_str(), c"/tmp");
        assert_eq!(read.arguments, [c"sh".to_owned(), c"-c".to_owned(), c"true ü\n".to_owned()]);
        assert_eq!(read.variables, [c"PATH=/bin".to_owned()]);
        assert_eq!(read.limits, [(0, 3), (7, 64)]);
        assert!(read.terminal && read.output_wait);
    }

    #[test]
    fn what_is_cut_short_or_too_long_is_no_plan() {
        let bytes = plan().bytes().unwrap();
        for length in 0..bytes.len() {
            assert_eq!(read(bytes.get(..length).unwrap()), None, "{length}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(read(&longer), None);
        let mut held = bytes;
        held[0] |= 2;
        assert_eq!(read(&held), None, "a program by its descriptor");
    }
}
