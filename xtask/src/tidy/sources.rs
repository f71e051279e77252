//! Rules about single files: length, comments, names, unsafe code, links.

use std::path::Path;

/// Longest file of Rust, in lines.
const LONGEST: usize = 450;

/// Names that tell nothing.
const BANNED: [&str; 8] = ["manager", "helper", "helpers", "util", "utils", "common", "misc", "whitelist"];

/// Crates in which no line may be unsafe.
const SAFE: [&str; 5] = ["bridge/", "contract/", "kernel/", "cli/", "xtask/"];

/// What is wrong with a file.
pub(super) fn check(path: &Path, text: &str) -> Vec<String> {
    let shown = path.display().to_string();
    let fault = |what: &str| format!("{shown}: {what}");
    let mut faults = Vec::new();
    if path.extension().is_some_and(|ending| ending == "md") {
        faults.extend(
            links(text)
                .into_iter()
                .filter(|link| !leads_somewhere(path, link))
                .map(|link| fault(&format!("the link `{link}` leads nowhere"))),
        );
    }
    if path.extension().is_none_or(|ending| ending != "rs") {
        return faults;
    }
    if text.lines().count() > LONGEST {
        faults.push(fault(&format!("{} lines; a file holds one thing in at most {LONGEST}", text.lines().count())));
    }
    if !text.lines().take(3).any(|line| line.starts_with("//!")) {
        faults.push(fault("it does not begin with a comment (`//!`) on what it is"));
    }
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if BANNED.contains(&stem) {
        faults.push(fault("its name tells nothing; name it after what it knows"));
    }
    let unsafe_here = text.lines().any(opens_unsafe);
    if unsafe_here && SAFE.iter().any(|folder| shown.starts_with(folder)) && !shown.starts_with("xtask/") {
        faults.push(fault("unsafe code is not allowed in this crate"));
    }
    faults.extend(
        unexplained(text)
            .into_iter()
            .map(|line| fault(&format!("line {line}: an unsafe block without a `// SAFETY:` comment above it"))),
    );
    faults
}

fn opens_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    code.contains("unsafe {") && !code.contains('"')
}

/// Lines with an unsafe block whose comment is missing from the eight lines above.
fn unexplained(text: &str) -> Vec<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let missing = |at: &usize| {
        let above = lines.get(at.saturating_sub(8)..=*at).unwrap_or_default();
        !above.iter().any(|line| line.contains("SAFETY:"))
    };
    let opening = lines.iter().enumerate().filter(|(_, line)| opens_unsafe(line)).map(|(at, _)| at);
    opening.filter(missing).map(|at| at + 1).collect()
}

/// The targets of `[text](target)` that are files of the project.
/// What a document links to, outside its blocks of code.
fn links(text: &str) -> Vec<String> {
    let prose = text.split("```").step_by(2);
    let targets = prose.flat_map(|part| part.split("](").skip(1)).filter_map(|rest| rest.split(')').next());
    let local = targets.map(|target| target.split('#').next().unwrap_or_default());
    local
        .filter(|target| !target.is_empty() && !target.contains("://") && !target.contains(' '))
        .map(str::to_owned)
        .collect()
}

fn leads_somewhere(from: &Path, link: &str) -> bool {
    let folder = crate::workspace::root().join(from.parent().unwrap_or(Path::new("")));
    folder.join(link).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsafe_block_needs_its_reason() {
        let bare = "//! File.\nfn f() {\n    unsafe { g() };\n}\n";
        assert_eq!(check(Path::new("plane/src/f.rs"), bare).len(), 1);
        let told = "//! File.\nfn f() {\n    // SAFETY: g takes nothing.\n    unsafe { g() };\n}\n";
        assert!(check(Path::new("plane/src/f.rs"), told).is_empty());
        assert_eq!(check(Path::new("kernel/src/f.rs"), told).len(), 1, "the kernel has none at all");
    }

    #[test]
    fn names_lengths_and_first_lines() {
        assert_eq!(check(Path::new("a/src/utils.rs"), "//! File.\n").len(), 1);
        assert_eq!(check(Path::new("a/src/b.rs"), "fn f() {}\n").len(), 1);
        assert_eq!(check(Path::new("a/src/b.rs"), &format!("//! File.\n{}", "\n".repeat(500))).len(), 1);
    }

    #[test]
    fn a_link_to_a_file_that_is_not_there_is_a_fault() {
        assert_eq!(
            check(Path::new("README.md"), "see [this](no/such/file.md) and [that](https://example.com)").len(),
            1
        );
        assert!(check(Path::new("README.md"), "```python\nCALLS[method](params)\n```").is_empty());
    }
}
