//! How a run ended: for people, and for programs.

pub(crate) mod doctor;
pub(crate) mod doctor_json;
pub(crate) mod doctor_run;
pub(crate) mod human;
pub(crate) mod json;
