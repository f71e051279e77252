//! Every end-to-end test, in one program.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod attacks;
mod containment;
mod doctor;
mod explain;
mod explained_effects;
mod host_plane;
mod job_control;
mod landlock_tier;
mod learn;
mod limits;
mod names;
mod real_programs;
mod refusals;
mod sockets;
mod terminal;

#[test]
fn no_file_of_tests_is_forgotten() {
    let own = include_str!("main.rs");
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all");
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().replace(".rs", "");
        assert!(name == "main" || own.contains(&format!("mod {name};")), "{name} is not in main.rs");
    }
}
