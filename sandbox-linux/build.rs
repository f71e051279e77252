//! Builds what is embedded in this crate: the system call filters, and the launcher, a freestanding static program of a few kilobytes.
//!
//! The launcher is compiled by the same rustc, but linked without libc and start files, so it cannot be an ordinary
//! dependency. `COFFERDAM_TYPE_CHECK_ONLY=1` skips it where only types are checked and no linker for the target is at hand;
//! a plane built so refuses to start anything.

#[path = "src/seccomp/compiler/mod.rs"]
mod compiler;
#[path = "src/seccomp/variant.rs"]
mod variant;

use compiler::architecture::Architecture;
use compiler::bpf::BpfInstruction;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};
use variant::{Profile, Variant};

fn main() {
    println!("cargo::rerun-if-changed=launcher/src");
    println!("cargo::rerun-if-changed=src/seccomp");
    println!("cargo::rerun-if-changed=../plane-kit/freestanding");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=COFFERDAM_TYPE_CHECK_ONLY");
    let Some(out) = env::var_os("OUT_DIR").map(PathBuf::from) else { fail("cargo sets no OUT_DIR") };
    filters(&out.join("seccomp_filters.rs"));
    profiles(&out.join("seccomp_profiles.rs"));
    calls(&out.join("seccomp_calls.rs"));
    let launcher = out.join("launcher");
    let skip = env::var_os("COFFERDAM_TYPE_CHECK_ONLY").is_some();
    if skip || env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        if let Err(error) = fs::write(&launcher, []) {
            fail(&format!("cannot write {}: {error}", launcher.display()));
        }
        return;
    }
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command.args(["--edition", "2024", "--crate-type", "bin", "--crate-name", "cofferdam_launcher"]);
    command.args(["-C", "panic=abort", "-C", "opt-level=s", "-C", "codegen-units=1", "-C", "strip=symbols"]);
    command.args(["-C", "relocation-model=static", "-C", "link-arg=-nostartfiles", "-C", "link-arg=-nostdlib"]);
    command.args(["-C", "link-arg=-static", "-C", "link-arg=-Wl,--build-id=none,-z,noexecstack,-z,norelro"]);
    if let Ok(target) = env::var("TARGET") {
        command.args(["--target", &target]);
    }
    command.arg("launcher/src/main.rs").arg("-o").arg(&launcher);
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => fail(&format!("rustc could not build the launcher ({status})")),
        Err(error) => fail(&format!("rustc could not be started for the launcher: {error}")),
    }
}

/// Writes the filters for the target as an expression of Rust: an array of byte strings.
fn filters(to: &Path) {
    let faults = compiler::faults();
    if !faults.is_empty() {
        fail(&format!("the system call tables are wrong: {}", faults.join("; ")));
    }
    let mut text = "[\n".to_owned();
    for variant in Variant::ALL {
        // An empty filter is one that the kernel refuses: nothing starts on an architecture without a table.
        let code = architecture().map(|one| compiler::compile(one, variant)).unwrap_or_default();
        // Writing to a string does not fail.
        let _ = writeln!(text, "&{:?},", bytes(&code));
    }
    text.push_str("]\n");
    write(to, &text);
}

/// Writes the filters of profiles likewise, each with the places of the four words of a secret, in bytes.
fn profiles(to: &Path) {
    let mut text = "[\n".to_owned();
    for profile in Profile::ALL {
        let code = architecture().map(|one| compiler::profiles::compile(one, profile)).unwrap_or_default();
        let Some(places) = compiler::profiles::places(&code).or_else(|| code.is_empty().then_some([0; 4])) else {
            fail("the secret of a profile has no place in its filter, or several")
        };
        // An instruction is 8 bytes, of which the last four are its operand.
        let _ = writeln!(text, "(&{:?}, {:?}),", bytes(&code), places.map(|place| place * 8 + 4));
    }
    text.push_str("]\n");
    write(to, &text);
}

/// Writes the target's calls in the order of numbers: number, name, and whether it may go on after it was looked at.
fn calls(to: &Path) {
    let calls = architecture().map(Architecture::calls).unwrap_or_default();
    let told: Vec<_> =
        calls.iter().map(|(name, number)| (*number, *name, compiler::observed::is_observed(name))).collect();
    write(to, &format!("&{told:?}"));
}

/// The target, if there are tables for it.
fn architecture() -> Option<Architecture> {
    let target = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    Architecture::ALL.into_iter().find(|one| one.name() == target)
}

fn bytes(code: &[BpfInstruction]) -> Vec<u8> {
    code.iter().flat_map(|instruction| instruction.to_bytes()).collect()
}

fn write(to: &Path, text: &str) {
    if let Err(error) = fs::write(to, text) {
        fail(&format!("cannot write {}: {error}", to.display()));
    }
}

#[expect(clippy::exit, reason = "a build script has no other way to say that it failed, after telling cargo why")]
fn fail(why: &str) -> ! {
    println!("cargo::error={why}");
    std::process::exit(1)
}
