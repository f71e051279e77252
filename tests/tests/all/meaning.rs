//! One meaning of a policy on every plane: each row of `meaning.txt` is put to the decision function, to the Linux plane and to its tier
//! without namespaces for real, and to the model of Seatbelt.

use cofferdam_bridge::profile::ExecutionProfile;
use cofferdam_bridge::verdict::Verdict;
use cofferdam_kernel::policy::{Access, CompiledPolicy, NoFiles, Placeholders, Policy};
use cofferdam_sandbox_macos::model::{Model, Request, Subject};
use cofferdam_sandbox_macos::profile::{EveryMac, Names, Setting, Spelling, beyond, compile};
use cofferdam_tests::command::{run, run_without_namespaces, text};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

mod generated;

const CONTENTS: &str = "cofferdam\n";
const REFUSED: i32 = 125;
/// Stands for a plane that may refuse a generated policy: what it cannot say it must not run.
const ANY: &str = "any";
const PRIVATE: &str = "/private/var/folders/xy/T/cofferdam-1";

/// A policy with its rows.
#[derive(Debug, Default)]
struct Block {
    title: String,
    policy: String,
    setup: Vec<(String, String)>,
    rows: Vec<Row>,
    refused_by: BTreeSet<String>,
    stricter: BTreeSet<(String, String)>,
}

#[derive(Clone, Debug)]
struct Row {
    line: usize,
    kind: String,
    /// As the guest names it.
    asked: String,
    /// Where that leads.
    subject: String,
    allowed: bool,
    rule: String,
    /// Whether the row's thing is made before the run.
    exists: bool,
}

/// The folders that stand for `{w}`, `{o}` and `{h}`.
#[derive(Debug)]
struct Folders([String; 3]);

impl Folders {
    fn fill(&self, text: &str) -> String {
        let [workspace, other, home] = &self.0;
        text.replace("{w}", workspace).replace("{o}", other).replace("{h}", home)
    }

    fn places(&self) -> Placeholders {
        let [workspace, _, home] = &self.0;
        let mut places = Placeholders::default();
        places.workspace = Some(workspace.clone());
        places.home = Some(home.clone());
        places
    }

    fn compiled(&self, policy: &str) -> CompiledPolicy {
        let names = ["LANG", "LC_ALL", "LC_TIME", "SECRET", "LD_PRELOAD", "PATH", "NODE_OPTIONS"];
        let host: BTreeMap<String, String> = names.map(|name| (name.to_owned(), "value".to_owned())).into();
        let parsed = Policy::parse(&self.fill(policy), "meaning", &NoFiles).unwrap();
        parsed.compile(&self.places(), &host).unwrap()
    }
}

impl Names for Folders {
    fn real_path(&self, path: &str) -> Option<String> {
        let there = self.0.iter().any(|folder| folder == path || folder.starts_with(&format!("{path}/")));
        let private = PRIVATE == path || PRIVATE.starts_with(&format!("{path}/"));
        if there || private { Some(path.to_owned()) } else { EveryMac.real_path(path) }
    }
}

fn blocks() -> Vec<Block> {
    let (mut blocks, mut in_policy) = (Vec::new(), false);
    for (number, line) in include_str!("meaning.txt").lines().enumerate() {
        if let Some(title) = line.strip_prefix("=== ") {
            blocks.push(Block { title: title.to_owned(), ..Block::default() });
            in_policy = true;
            continue;
        }
        let Some(block) = blocks.last_mut() else { continue };
        if line == "---" {
            in_policy = false;
        } else if let Some(plane) = line.strip_prefix('@').and_then(|line| line.strip_suffix(" refused")) {
            block.refused_by.insert(plane.to_owned());
        } else if let Some((plane, subjects)) = line.strip_prefix('@').and_then(|line| line.split_once(" deny : ")) {
            block.stricter.extend(subjects.split(' ').map(|subject| (plane.to_owned(), subject.to_owned())));
        } else if in_policy {
            block.policy.push_str(line);
            block.policy.push('\n');
        } else if let Some((head, subjects)) = line.split_once(" : ") {
            block.rows.extend(rows(number + 1, head, subjects));
        } else if let Some((what, rest)) = line.split_once(' ') {
            block.setup.push((what.to_owned(), rest.to_owned()));
        }
    }
    for block in &mut blocks {
        let extends = if block.policy.contains("extends =") { "" } else { "extends = \"strict\"\n" };
        block.policy = format!("version = 1\n{extends}{}", block.policy);
    }
    blocks
}

fn rows(line: usize, head: &str, subjects: &str) -> Vec<Row> {
    let mut words = head.splitn(3, ' ');
    let (kinds, verdict, rule) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    assert!(matches!(verdict, "allow" | "deny"), "meaning.txt:{line}: {verdict}");
    let exists = !kinds.split(',').any(|kind| kind == "make");
    let row = |kind: &str, subject: &str| {
        let (asked, leads) = subject.split_once('>').unwrap_or((subject, subject));
        let (kind, rule) = (kind.to_owned(), rule.to_owned());
        let (asked, subject) = (asked.to_owned(), leads.to_owned());
        Row { line, kind, asked, subject, allowed: verdict == "allow", rule, exists }
    };
    subjects.split(' ').flat_map(|subject| kinds.split(',').map(move |kind| row(kind, subject))).collect()
}

fn is_of_files(row: &Row) -> bool {
    !matches!(row.kind.as_str(), "connect" | "variable")
}

fn access(row: &Row, folders: &Folders) -> Access {
    let subject = folders.fill(&row.subject);
    match row.kind.as_str() {
        "read" | "list" => Access::Read(subject),
        "write" | "make" | "remove" => Access::Write(subject),
        "execute" => Access::Execute(subject),
        "variable" => Access::Environment(subject),
        "connect" => {
            let (host, port) = subject.rsplit_once(':').unwrap();
            Access::Connect(host.to_owned(), port.parse().unwrap())
        }
        other => panic!("meaning.txt:{}: {other}", row.line),
    }
}

#[test]
fn the_decision_function_agrees_with_every_row() {
    let folders = Folders(["/srv/w".to_owned(), "/srv/o".to_owned(), "/home/u".to_owned()]);
    let (mut wrong, mut count) = (Vec::new(), 0);
    for block in blocks() {
        let compiled = folders.compiled(&block.policy);
        for row in &block.rows {
            count += 1;
            let decision = compiled.decide(&access(row, &folders)).unwrap();
            let rule = decision.rule.as_ref().map_or("-", |rule| rule.text.as_str());
            let same_rule = row.rule == "-" || folders.fill(&row.rule) == rule;
            if (decision.verdict == Verdict::Allow) != row.allowed || !same_rule {
                wrong.push(format!("{}: {} {}: {:?} by {rule}", row.line, row.kind, row.asked, decision.verdict));
            }
        }
    }
    assert!(wrong.is_empty(), "meaning.txt:\n{}", wrong.join("\n"));
    assert!(count >= 400, "{count} rows");
}

/// The profile of macOS for a block, or that its plane refuses the policy.
fn seatbelt(profile: &ExecutionProfile, folders: &Folders, spelling: Spelling) -> Model {
    let mut setting = Setting::new(folders);
    setting.spelling = spelling;
    setting.private_folder = Some(PRIVATE);
    Model::parse(&compile(profile, &setting).unwrap().text).unwrap()
}

fn request(row: &Row, folders: &Folders) -> Option<Request> {
    let subject = folders.fill(&row.subject);
    let path = match subject.strip_prefix("/tmp") {
        Some(rest) if rest.starts_with('/') => format!("{PRIVATE}{rest}"),
        _ if ["/etc", "/var"].iter().any(|link| subject.starts_with(link)) => format!("/private{subject}"),
        _ => subject.clone(),
    };
    Some(match row.kind.as_str() {
        "read" | "list" => Request::file("file-read-data", &path),
        "write" => Request::file("file-write-data", &path),
        "make" => Request::file("file-write-create", &path),
        "remove" => Request::file("file-write-unlink", &path),
        "execute" => Request::file("process-exec", &path),
        "connect" => {
            let (host, port) = subject.rsplit_once(':')?;
            let local = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
            let host = if local { "localhost" } else { host };
            Request::about("network-outbound", Subject::Address(host.to_owned(), port.parse().ok()?))
        }
        _ => return None,
    })
}

#[test]
fn the_model_of_seatbelt_agrees_with_every_row() {
    let folders = Folders(["/Users/u/w".to_owned(), "/Users/u/o".to_owned(), "/Users/h".to_owned()]);
    let (mut wrong, mut count) = (Vec::new(), 0);
    for block in blocks() {
        let profile = folders.compiled(&block.policy).profile;
        if block.refused_by.contains("macos") {
            let refused = compile(&profile, &Setting::new(&folders)).is_err();
            assert!(refused && !beyond(&profile, &Setting::new(&folders)).is_empty(), "{}", block.title);
            continue;
        }
        for spelling in [Spelling::Exact, Spelling::Folded] {
            let model = seatbelt(&profile, &folders, spelling);
            for row in &block.rows {
                let Some(request) = request(row, &folders) else { continue };
                count += 1;
                let stricter = block.stricter.contains(&("macos".to_owned(), row.asked.clone()));
                let allowed = model.allows(&request).unwrap();
                if allowed != (row.allowed && !stricter) {
                    wrong.push(format!("{}: {} {}: {allowed} ({spelling:?})", row.line, row.kind, row.asked));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "meaning.txt:\n{}", wrong.join("\n"));
    assert!(count >= 700, "{count} rows");
}

/// Folders of a block with all that its rows need.
struct Prepared {
    _scratch: Scratch,
    folders: Folders,
}

fn prepare(block: &Block) -> Prepared {
    // Not in the system's temporary folder, in whose place a run has its private one.
    let scratch = Scratch::beneath(Path::new("/var/tmp"));
    let root = scratch.path().canonicalize().unwrap();
    let folder = |name: &str| {
        let path = root.join(name);
        fs::create_dir(&path).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    let folders = Folders([folder("w"), folder("o"), folder("h")]);
    for (what, rest) in block.setup.iter().filter(|(what, _)| what != "link") {
        for path in rest.split(' ').map(|path| folders.fill(path)) {
            if what == "dir" { fs::create_dir_all(&path).unwrap() } else { make_file(Path::new(&path)) }
        }
    }
    for row in
        block.rows.iter().filter(|row| is_of_files(row) && row.asked == row.subject && row.asked.starts_with('{'))
    {
        let path = folders.fill(&row.asked);
        let path = Path::new(&path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match row.kind.as_str() {
            "list" => fs::create_dir_all(path).unwrap(),
            "execute" => {
                fs::copy("/usr/bin/true", path).unwrap();
                fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
            }
            _ if row.exists => make_file(path),
            _ => {}
        }
    }
    for (_, rest) in block.setup.iter().filter(|(what, _)| what == "link") {
        let (link, target) = rest.split_once(' ').unwrap();
        symlink(folders.fill(target), folders.fill(link)).unwrap();
    }
    Prepared { _scratch: scratch, folders }
}

fn make_file(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, CONTENTS).unwrap();
}

const FUNCTIONS: &str = r#"
say() { if [ "$2" = 0 ]; then echo "$1 allow"; else echo "$1 deny"; fi; }
read_() { if [ -d "$2" ]; then ls -A "$2" > /dev/null 2>&1; else [ -n "$(cat "$2" 2> /dev/null)" ]; fi; say "$1" $?; }
write_() { (echo x >> "$2") 2> /dev/null; say "$1" $?; }
make_() { (: > "$2") 2> /dev/null && [ -e "$2" ]; say "$1" $?; }
remove_() { rm "$2" > /dev/null 2>&1 < /dev/null; say "$1" $?; }
list_() { ls -A "$2" > /dev/null 2>&1; say "$1" $?; }
execute_() { "$2" > /dev/null 2>&1; say "$1" $?; }
variable_() { eval "[ -n \"\${$2+x}\" ]"; say "$1" $?; }
"#;

/// What the guest tries, a line for each row.
fn script(block: &Block, folders: &Folders) -> String {
    let rows = block.rows.iter().enumerate().filter(|(_, row)| row.kind != "connect");
    let lines = rows.map(|(number, row)| format!("{}_ {number} '{}'\n", row.kind, folders.fill(&row.asked)));
    FUNCTIONS.to_owned() + &lines.collect::<String>()
}

/// Runs every block on a plane and answers what was otherwise than its row says, and how many rows were asked.
fn on_a_plane(
    plane: &str,
    blocks: Vec<Block>,
    command: impl Fn(&Path, &[&str], &[&str]) -> Command,
) -> (Vec<String>, usize) {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for block in blocks {
        let prepared = prepare(&block);
        let folders = &prepared.folders;
        let policy = prepared._scratch.write("policy.toml", &folders.fill(&block.policy));
        let policy = policy.to_string_lossy().into_owned();
        let script = script(&block, folders);
        let [workspace, _, home] = &folders.0;
        let mut run =
            command(Path::new(workspace), &["--policy", &policy, "--workdir", "/"], &["/usr/bin/sh", "-c", &script]);
        run.env("HOME", home).env("SECRET", "value").env("NODE_OPTIONS", "value").env("LANG", "C.UTF-8");
        run.env("LC_ALL", "C.UTF-8").env("LC_TIME", "C.UTF-8").env_remove("LC_NONE").stdin(Stdio::null());
        let output = run.output().unwrap();
        if block.refused_by.contains(ANY) && output.status.code() == Some(REFUSED) && output.stdout.is_empty() {
            continue;
        }
        if block.refused_by.contains(plane) {
            if output.status.code() != Some(REFUSED) || !output.stdout.is_empty() {
                wrong.push(format!("{}: not refused: {output:?}", block.title));
            }
            continue;
        }
        let seen = text(&output.stdout);
        let mut lines = seen.lines();
        for (number, row) in block.rows.iter().enumerate().filter(|(_, row)| row.kind != "connect") {
            count += 1;
            let answer = lines.next().and_then(|line| line.strip_prefix(&format!("{number} ")));
            let stricter = block.stricter.contains(&(plane.to_owned(), row.asked.clone()));
            let expected = if row.allowed && !stricter { "allow" } else { "deny" };
            let outside = effect(row, folders).filter(|_| !block.policy.contains("\"overlay\""));
            if answer != Some(expected) || outside.is_some_and(|happened| happened && !row.allowed) {
                let what = answer.unwrap_or("no answer");
                wrong.push(format!(
                    "{} ({}): {} {}: {what}, outside {outside:?}",
                    row.line, block.title, row.kind, row.asked
                ));
            }
        }
        if output.status.code() == Some(REFUSED) {
            wrong.push(format!("{}: {}", block.title, text(&output.stderr)));
        }
    }
    (wrong, count)
}

/// Whether the row's change is there, as seen from outside; none where nothing of it could be seen.
fn effect(row: &Row, folders: &Folders) -> Option<bool> {
    let path = folders.fill(&row.subject);
    let in_ours = row.subject.starts_with('{');
    match row.kind.as_str() {
        "write" if in_ours && row.exists => Some(fs::read_to_string(&path).ok()? != CONTENTS),
        "make" if in_ours => Some(fs::symlink_metadata(&path).is_ok()),
        "remove" if in_ours && row.exists => Some(fs::symlink_metadata(&path).is_err()),
        _ => None,
    }
}

/// A run in the tier `landlock`.
fn tier(workspace: &Path, options: &[&str], program: &[&str]) -> Command {
    run_without_namespaces(workspace, &[&["--isolation", "landlock"], options].concat(), program)
}

/// Why this machine has no such runs.
fn no_tier() -> Option<String> {
    let tried = tier(Scratch::new().path(), &[], &["true"]).output().unwrap();
    (!tried.status.success()).then(|| format!("no run without namespaces: {}", text(&tried.stderr)))
}

#[test]
fn the_linux_plane_agrees_with_every_row() {
    let (wrong, count) = on_a_plane("linux", blocks(), run);
    assert!(wrong.is_empty(), "meaning.txt:\n{}", wrong.join("\n"));
    assert!(count >= 350, "{count} rows");
}

#[test]
fn the_tier_without_namespaces_agrees_with_every_row() {
    if let Some(why) = no_tier() {
        return skip::skipped(&why);
    }
    let (wrong, count) = on_a_plane("landlock", blocks(), tier);
    assert!(wrong.is_empty(), "meaning.txt:\n{}", wrong.join("\n"));
    assert!(count >= 300, "{count} rows");
}
