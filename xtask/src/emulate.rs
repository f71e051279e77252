//! Runs what is written for AArch64 alone, the raw calls of the freestanding programs, under an emulator.

use crate::workspace::{output, say, tool};
use std::process::Stdio;

/// Emulator, linker or compiler cannot be had here.
const NOT_TO_BE_HAD: i32 = 77;
/// What emulates programs of another machine.
const EMULATOR: &str = "qemu-aarch64";

/// Builds and runs. Where that cannot be done, it says so and lets pass.
pub(crate) fn run(_: &[String]) -> Result<(), String> {
    say("$ scripts/emulate-aarch64.sh");
    let script = tool("bash", &["scripts/emulate-aarch64.sh"]).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let built = script.map_err(|error| format!("bash: {error}"))?;
    if built.status.code() == Some(NOT_TO_BE_HAD) {
        say("SKIPPED: nothing runs for AArch64: emulator, linker or compiler cannot be had here");
        return Ok(());
    }
    if !built.status.success() {
        return Err("keeper, launcher and trial do not build for AArch64".to_owned());
    }
    let programs = String::from_utf8_lossy(&built.stdout).into_owned();
    let find = |name: &str| {
        let found = programs.lines().find(|path| path.ends_with(name));
        found.ok_or_else(|| format!("{name} was not built for AArch64"))
    };
    let code = |path: &str| Ok::<_, String>(output(EMULATOR, &[path])?.status.code());
    // The trial's code is the step that failed. The others have nobody who tells them what to do, and must end by themselves.
    for (name, expected) in [("cofferdam-raw-call-trial", 0), ("cofferdam-launcher", 1), ("cofferdam-keeper", 1)] {
        let ended = code(find(name)?)?;
        if ended != Some(expected) {
            return Err(format!("{name} for AArch64 ended with {ended:?}, not {expected}"));
        }
        say(&format!("{name} for AArch64: ended with {expected}, as it must"));
    }
    Ok(())
}
