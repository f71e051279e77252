//! Every end-to-end test, in one program.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod actions;
mod actions_asked;
mod actions_programs;
mod attacks;
mod attacks_filesystem;
mod attacks_filesystem_hidden;
mod attacks_filesystem_host;
mod attacks_filesystem_names;
mod attacks_filesystem_policy;
mod attacks_git;
mod attacks_ipc;
mod attacks_kernel;
mod attacks_kernel_broker;
mod attacks_kernel_processes;
mod attacks_limits;
mod attacks_privileges;
mod attacks_resources;
mod attacks_resources_host;
mod audit;
mod audit_crash;
mod changes;
mod changes_attacks;
mod changes_crash;
mod changes_embedded;
mod changes_property;
mod commands;
mod containment;
mod doctor;
mod dry_run;
mod every_call;
mod exec;
mod exec_held;
mod exec_load;
mod exec_output_wait;
mod exec_race;
mod exec_secrets;
mod explain;
mod explained_effects;
mod given_sockets;
mod host_plane;
mod job_control;
mod landlock_listen;
mod landlock_listen_walls;
mod landlock_network;
mod landlock_network_programs;
mod landlock_tier;
mod landlock_tier_names;
mod landlock_tier_walls;
mod landlock_versions;
mod learn;
mod limits;
mod limits_everywhere;
mod meaning;
mod names;
mod network_attacks;
mod network_by_name;
mod network_denied;
mod network_floods;
mod network_https;
mod network_https_attacks;
mod network_https_authority;
mod network_https_places;
mod network_localhost;
mod network_programs;
mod network_requests;
mod network_tls;
mod network_udp;
mod network_udp_session;
mod network_walls;
mod network_world;
mod pool;
mod prompts;
mod prompts_attacks;
mod prompts_network;
mod prompts_recorded;
mod prompts_terminal;
mod published;
mod real_programs;
mod refusals;
mod refused_features;
mod registries;
mod robustness;
mod seccomp_profiles;
mod session_containment;
mod session_host;
mod session_places;
mod session_terminal;
mod sessions;
mod sockets;
mod telemetry;
mod telemetry_collector;
mod terminal;
mod wire_planes;

#[test]
fn no_file_of_tests_is_forgotten() {
    let own = include_str!("main.rs");
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all");
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        // What is no test's code is what a test reads.
        let Some(name) = file.strip_suffix(".rs") else { continue };
        assert!(name == "main" || own.contains(&format!("mod {name};")), "{name} is not in main.rs");
    }
}
