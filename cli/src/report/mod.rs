//! How a run ended: for people, and for programs.

pub(crate) mod audit;
#[cfg(target_os = "linux")]
pub(crate) mod changes;
#[cfg(target_os = "linux")]
pub(crate) mod changes_json;
#[cfg(target_os = "linux")]
pub(crate) mod doctor;
#[cfg(target_os = "linux")]
pub(crate) mod doctor_json;
#[cfg(target_os = "linux")]
pub(crate) mod doctor_run;
pub(crate) mod dry_run;
pub(crate) mod human;
pub(crate) mod json;
#[cfg(target_os = "linux")]
pub(crate) mod text_diff;
