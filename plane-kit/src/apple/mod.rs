//! What macOS needs of its own: who descends from whom, and the keeper's program. What is mere computing is tested anywhere.

pub(crate) mod descendants;
#[cfg(not(target_os = "linux"))]
pub(crate) mod keeper_watch;
pub(crate) mod plan_reader;
#[cfg(not(target_os = "linux"))]
pub(crate) mod process_table;
