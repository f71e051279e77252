//! What the broker costs: calls that make names, outside, in a sandbox without and in one with rules that need it.

use crate::workspace::{built, fresh_folder, output, run as tool, say};

pub(super) fn run(rounds: usize) -> Result<(), String> {
    let command = super::start::built_command()?;
    tool("cargo", &["build", "--quiet", "--release", "--package", "cofferdam-tests", "--example", "name_calls"])?;
    let folder = fresh_folder("names")?;
    let outcome = measure(&command, &folder.to_string_lossy(), rounds);
    let _ = std::fs::remove_dir_all(&folder);
    outcome
}

fn measure(command: &str, folder: &str, rounds: usize) -> Result<(), String> {
    tool("cp", &[&built("release/examples/name_calls"), folder])?;
    let program = format!("{folder}/name_calls");
    let rounds = rounds.to_string();
    // Programs of the workspace may run under this policy.
    let inside = ["run", "--workspace", folder, "--", program.as_str()];
    let subjects: [(&str, &str, Vec<&str>); 4] = [
        ("outside, on the same disk", &program, vec![folder, &rounds]),
        ("outside, on a tmpfs", &program, vec!["/dev/shm", &rounds]),
        ("private /tmp, brokered", command, [&inside[..], &["/tmp", &rounds]].concat()),
        ("workspace, brokered", command, [&inside[..], &[folder, &rounds]].concat()),
    ];
    say("| create, rename, remove, mkdir | median ns a call |");
    say("| --- | --- |");
    for (name, program, arguments) in subjects {
        let told = output(program, &arguments)?;
        say(&format!("| {name} | {} |", String::from_utf8_lossy(&told.stdout).trim()));
    }
    Ok(())
}
