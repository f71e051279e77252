//! What macOS needs of its own: who descends from whom, and the keeper's program. What is mere computing is tested anywhere.

#[cfg_attr(target_os = "linux", expect(dead_code, reason = "used on macOS; tested here"))]
pub(crate) mod descendants;
#[cfg(not(target_os = "linux"))]
pub(crate) mod keeper_watch;
#[cfg_attr(target_os = "linux", expect(dead_code, reason = "used on macOS; tested here"))]
pub(crate) mod plan_reader;
#[cfg(not(target_os = "linux"))]
pub(crate) mod process_table;
