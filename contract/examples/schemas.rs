//! Writes the schemas into the folder that is named, or, after `--check`, tells what in it differs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (check, folder) = match arguments.as_slice() {
        [check, folder] if check == "--check" => (true, folder),
        [folder] => (false, folder),
        _ => return failed("usage: schemas [--check] FOLDER"),
    };
    match work(Path::new(folder), check) {
        Ok(differing) if differing.is_empty() => ExitCode::SUCCESS,
        Ok(differing) => failed(&format!(
            "the schemas on disk are not those of the types: {}; write them anew with `cargo xtask contract generate`",
            differing.join(", ")
        )),
        Err(error) => failed(&format!("{folder}: {error}")),
    }
}

fn work(folder: &Path, check: bool) -> io::Result<Vec<String>> {
    let mut differing = Vec::new();
    let mut wanted = BTreeSet::new();
    for (name, schema) in cofferdam_contract::schemas() {
        let path = folder.join(&name);
        let text = serde_json::to_string_pretty(&schema)? + "\n";
        if fs::read_to_string(&path).ok().as_deref() != Some(&text) {
            if !check {
                fs::create_dir_all(path.parent().unwrap_or(folder))?;
                fs::write(&path, text)?;
            } else {
                differing.push(name);
            }
        }
        wanted.insert(path);
    }
    for path in files(folder)? {
        if wanted.contains(&path) {
            continue;
        }
        if !check {
            fs::remove_file(path)?;
        } else {
            differing.push(path.display().to_string());
        }
    }
    Ok(differing)
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    Ok(found)
}

#[expect(clippy::print_stderr, reason = "a developer's command speaks on standard error")]
fn failed(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}
