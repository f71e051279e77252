//! The system calls of this architecture, by number: what the manual calls them, and which may go on after they were looked at.

/// Number, name, and whether it is observed, in the order of numbers.
const CALLS: &[(u32, &str, bool)] = include!(concat!(env!("OUT_DIR"), "/seccomp_calls.rs"));

/// What the manual calls a call.
pub(crate) fn call_name(number: i64) -> Option<&'static str> {
    find(number).map(|(_, name, _)| *name)
}

/// Whether a call that the plain filter allows is looked at where refusals are explained. No other call is ever let go on.
pub(crate) fn is_observed(number: i64) -> bool {
    find(number).is_some_and(|(.., observed)| *observed)
}

fn find(number: i64) -> Option<&'static (u32, &'static str, bool)> {
    let number = u32::try_from(number).ok()?;
    CALLS.binary_search_by_key(&number, |(own, ..)| *own).ok().and_then(|place| CALLS.get(place))
}
