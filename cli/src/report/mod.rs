//! How a run ended: for people, and for programs.

pub(crate) mod audit;
pub(crate) mod changes;
pub(crate) mod changes_json;
pub(crate) mod doctor;
pub(crate) mod doctor_json;
pub(crate) mod doctor_run;
pub(crate) mod dry_run;
pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod text_diff;
