//! Writes what is made from the types into the folder of the contract, or, after `--check`, tells what in it differs; after `--freeze`
//! writes the baseline that later releases are held against.

use cofferdam_bridge::contract::{BRIDGE_CONTRACT_JSON, BridgeContract};
use cofferdam_contract::compatibility::{self, Verdict};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

/// The folder of this generation.
const GENERATION: &str = "v1";

/// The file of a baseline that says since which release it holds, and what it says while there was none.
const SINCE: &str = "since";
const DRAFT: &str = "draft";

/// The plane that is frozen with a baseline: in one file, without anything of ours.
const PLANE: &str = "examples/planes/python/plane.py";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--check", folder] => check(Path::new(folder)),
        ["--freeze", folder] => freeze(Path::new(folder), DRAFT),
        ["--freeze", "--release", version, folder] => freeze(Path::new(folder), version),
        [folder] => generate(Path::new(folder)).map_err(|error| error.to_string()),
        _ => Err("usage: schemas [--check|--freeze [--release VERSION]] FOLDER".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => failed(&why),
    }
}

/// Every file that is made, by its path in the folder.
fn made() -> BTreeMap<PathBuf, String> {
    let text = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default() + "\n";
    let own = Path::new(GENERATION);
    let mut files = BTreeMap::new();
    for (name, schema) in cofferdam_contract::schemas() {
        files.insert(own.join("schema").join(name), text(&schema));
    }
    for (name, vectors) in cofferdam_contract::vectors::vectors() {
        files.insert(own.join("vectors").join(name), text(&vectors));
    }
    files.insert(own.join("REFERENCE.md"), cofferdam_contract::reference::page());
    files
}

fn generate(folder: &Path) -> io::Result<()> {
    let made = made();
    for (path, text) in &made {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, text)?;
    }
    for path in files(&folder.join(GENERATION))? {
        if !made.contains_key(path.strip_prefix(folder).unwrap_or(&path)) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// What differs from the types, and what breaks those who were built for the baseline.
fn check(folder: &Path) -> Result<(), String> {
    let made = made();
    let same = |(path, text): &(&PathBuf, &String)| fs::read_to_string(folder.join(path)).ok().as_ref() == Some(text);
    let mut differing: BTreeSet<_> = made.iter().filter(|file| !same(file)).map(|(path, _)| path.clone()).collect();
    for path in files(&folder.join(GENERATION)).map_err(|error| error.to_string())? {
        let own = path.strip_prefix(folder).unwrap_or(&path).to_owned();
        if !made.contains_key(&own) {
            differing.insert(own);
        }
    }
    if !differing.is_empty() {
        let names: Vec<_> = differing.iter().map(|path| path.display().to_string()).collect();
        return Err(format!(
            "what is on disk is not what the types make: {}; write it anew with `cargo xtask contract generate`",
            names.join(", ")
        ));
    }
    compare(&folder.join("baseline").join(GENERATION))
}

fn compare(baseline: &Path) -> Result<(), String> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", baseline.display());
    let mut old = BTreeMap::new();
    let schemas = baseline.join("schema");
    for path in files(&schemas).map_err(|error| told(&error))? {
        let text = fs::read_to_string(&path).map_err(|error| told(&error))?;
        let name = path.strip_prefix(&schemas).unwrap_or(&path).display().to_string();
        old.insert(name, serde_json::from_str::<Value>(&text).map_err(|error| told(&error))?);
    }
    let contract = fs::read_to_string(baseline.join("bridge-contract.json")).map_err(|error| told(&error))?;
    let contract = BridgeContract::parse(&contract).map_err(|error| told(&error))?;
    let now = BridgeContract::embedded().map_err(|error| told(&error))?;
    let mut changes = compatibility::schemas(&old, &cofferdam_contract::schemas());
    changes.extend(compatibility::operations(&contract, now));
    let breaking = changes.iter().filter(|change| change.verdict == Verdict::Breaking).count();
    for change in &changes {
        say(&change.to_string());
    }
    let since = since(baseline).map_err(|error| told(&error))?;
    let compatible = changes.len() - breaking;
    say(&match since.as_str() {
        DRAFT => format!(
            "generation {GENERATION} is a draft, of no release: {compatible} compatible changes since it was frozen, {breaking} breaking"
        ),
        release => format!(
            "generation {GENERATION} holds since release {release}: {compatible} compatible changes, {breaking} breaking"
        ),
    });
    if breaking == 0 {
        return Ok(());
    }
    let instead = if since == DRAFT {
        "as no release has it, the draft can be frozen anew by `cargo xtask contract freeze`, which shows in review"
    } else {
        "contract/COMPATIBILITY.md has the rules, and what to do instead"
    };
    Err(format!("{breaking} changes break who was built for the baseline; {instead}"))
}

/// Since which release a baseline holds.
fn since(baseline: &Path) -> io::Result<String> {
    fs::read_to_string(baseline.join(SINCE)).map(|text| text.trim().to_owned())
}

/// Writes the baseline anew. One that a release has stays as it is for ever.
fn freeze(folder: &Path, version: &str) -> Result<(), String> {
    let baseline = folder.join("baseline").join(GENERATION);
    let told = |error: io::Error| format!("{}: {error}", baseline.display());
    match since(&baseline) {
        Ok(release) if release != DRAFT => {
            return Err(format!("release {release} has this baseline; a change that breaks it needs a new generation"));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(told(error)),
        _ => {}
    }
    write_baseline(folder, &baseline, version).map_err(told)
}

fn write_baseline(folder: &Path, baseline: &Path, version: &str) -> io::Result<()> {
    // What is gone must not stay as if it were there.
    match fs::remove_dir_all(baseline) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    for (name, schema) in cofferdam_contract::schemas() {
        let path = baseline.join("schema").join(name);
        fs::create_dir_all(path.parent().unwrap_or(baseline))?;
        fs::write(path, serde_json::to_string_pretty(&schema)? + "\n")?;
    }
    fs::write(baseline.join("bridge-contract.json"), BRIDGE_CONTRACT_JSON)?;
    fs::copy(folder.join("..").join(PLANE), baseline.join("plane.py"))?;
    fs::write(baseline.join(SINCE), format!("{version}\n"))
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    Ok(found)
}

#[expect(clippy::print_stdout, reason = "a developer's command tells what it found")]
fn say(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "a developer's command speaks on standard error")]
fn failed(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}
