//! Holds the profiles against a Mac: asks the model and the kernel the same, and writes a report in Markdown to standard output.
//!
//! `scripts/verify-macos.sh` runs it. It works in a folder of its own and leaves nothing behind. Exit code 1: something differs.

#![expect(clippy::print_stdout, reason = "the report is its whole purpose")]

use cofferdam_bridge::profile::ExecutionProfile;
use cofferdam_kernel::policy::{NoFiles, Placeholders, Policy};
use cofferdam_sandbox_macos::model::{Model, Request, Subject, VnodeType};
use cofferdam_sandbox_macos::profile::{HostNames, Setting, compile};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

const SANDBOX_EXEC: &str = "/usr/bin/sandbox-exec";

/// What is tried: a name for the report, the shell line that succeeds only if it was allowed, and what the model is asked.
struct Trial {
    name: &'static str,
    line: String,
    requests: Vec<Request>,
}

/// The folders of a trial.
struct Place {
    root: PathBuf,
    workspace: String,
    other: String,
    private: String,
}

fn main() -> ExitCode {
    match verify() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            println!("\nnot finished: {error}");
            ExitCode::FAILURE
        }
    }
}

fn verify() -> Result<usize, Box<dyn Error>> {
    if !Path::new(SANDBOX_EXEC).exists() {
        return Err("there is no sandbox-exec here: this is for a Mac".into());
    }
    let place = Place::new()?;
    let outcome = report(&place);
    fs::remove_dir_all(&place.root)?;
    outcome
}

fn report(place: &Place) -> Result<usize, Box<dyn Error>> {
    let policy = format!(
        "version = 1\nextends = \"strict\"\n[filesystem]\nread = [\"{0}/shown\"]\nwrite = [\"{{workspace}}\"]\n\
         deny = [\"{{workspace}}/**/.env\", \"{{workspace}}/closed\"]\n[commands]\nallow = [\"/usr\", \"/bin\"]\n",
        place.other
    );
    let profile = place.compiled(&policy)?;
    let names = HostNames;
    let mut setting = Setting::new(&names);
    setting.private_folder = Some(&place.private);
    let seatbelt = compile(&profile, &setting)?;
    let model = Model::parse(&seatbelt.text)?;
    println!("| what | the model says | this Mac says | |\n| --- | --- | --- | --- |");
    let mut different = 0;
    for trial in trials(place) {
        let mut expected = true;
        for request in &trial.requests {
            expected &= model.allows(request)?;
        }
        let ran = Command::new(SANDBOX_EXEC)
            .args(["-p", &seatbelt.text, "/bin/sh", "-c", &trial.line])
            .current_dir(&place.workspace)
            .env_clear()
            .envs([("PATH", "/usr/bin:/bin:/usr/sbin:/sbin"), ("TMPDIR", place.private.as_str())])
            .stdin(Stdio::null())
            .output()?;
        let seen = ran.status.success();
        different += usize::from(seen != expected);
        let word = |allowed| if allowed { "allowed" } else { "refused" };
        let mark = if seen == expected { "" } else { "**DIFFERENT**" };
        println!("| {} | {} | {} | {mark} |", trial.name, word(expected), word(seen));
    }
    println!(
        "\n{different} differ.\n\n<details><summary>The profile</summary>\n\n```scheme\n{}```\n\n</details>",
        seatbelt.text
    );
    Ok(different)
}

impl Place {
    fn new() -> Result<Self, Box<dyn Error>> {
        let root = env::temp_dir().canonicalize()?.join(format!("cofferdam-verify-{}", std::process::id()));
        fs::create_dir(&root)?;
        let folder = |name: &str| -> Result<String, Box<dyn Error>> {
            let path = root.join(name);
            fs::create_dir_all(&path)?;
            path.into_os_string().into_string().map_err(|_| "the temporary folder's path is no text".into())
        };
        let place = Self {
            workspace: folder("workspace")?,
            other: folder("other")?,
            private: folder("private")?,
            root: root.clone(),
        };
        for (folder, name) in [
            (&place.workspace, "a"),
            (&place.workspace, ".env"),
            (&place.workspace, "sub/.env"),
            (&place.workspace, "closed/a"),
            (&place.workspace, ".git/hooks/pre-commit"),
            (&place.workspace, ".git/index"),
            (&place.workspace, "moved/a"),
            (&place.other, "shown/a"),
            (&place.other, "hidden/a"),
        ] {
            let path = Path::new(folder).join(name);
            fs::create_dir_all(path.parent().ok_or("no parent")?)?;
            fs::write(path, "cofferdam\n")?;
        }
        std::os::unix::fs::symlink(Path::new(&place.other).join("hidden/a"), Path::new(&place.workspace).join("link"))?;
        Ok(place)
    }

    fn compiled(&self, policy: &str) -> Result<ExecutionProfile, Box<dyn Error>> {
        let mut places = Placeholders::default();
        places.workspace = Some(self.workspace.clone());
        Ok(Policy::parse(policy, "verify", &NoFiles)?.compile(&places, &BTreeMap::new())?.profile)
    }
}

fn trials(place: &Place) -> Vec<Trial> {
    let (workspace, other, private) = (&place.workspace, &place.other, &place.private);
    let trial = |name, line: String, requests: &[(&str, String, VnodeType)]| Trial {
        name,
        line,
        requests: requests.iter().map(|(operation, path, kind)| Request::typed_file(operation, path, *kind)).collect(),
    };
    let (file, folder) = (VnodeType::RegularFile, VnodeType::Directory);
    let inside = |name: &str| format!("{workspace}/{name}");
    let read = |name, path: String| trial(name, format!("cat '{path}'"), &[("file-read-data", path, file)]);
    let make = |name, path: String| trial(name, format!(": > '{path}'"), &[("file-write-create", path, file)]);
    let change = |name, path: String| trial(name, format!(": >> '{path}'"), &[("file-write-data", path, file)]);
    let renamed = |name, from: String, to: String, kind| {
        let requests = [("file-write-unlink", from.clone(), kind), ("file-write-create", to.clone(), kind)];
        trial(name, format!("mv '{from}' '{to}'"), &requests)
    };
    let address = |name, line: &str, host: &str, port| Trial {
        name,
        line: line.to_owned(),
        requests: vec![Request::about("network-outbound", Subject::Address(host.to_owned(), port))],
    };
    vec![
        trial("a program runs", "true".to_owned(), &[("process-exec", "/usr/bin/true".to_owned(), file)]),
        read("reading in the workspace", inside("a")),
        change("changing in the workspace", inside("a")),
        make("making in the workspace", inside("new")),
        read("reading what a rule shows", format!("{other}/shown/a")),
        change("changing what a rule only shows", format!("{other}/shown/a")),
        read("reading what no rule names", format!("{other}/hidden/a")),
        trial(
            "reading that through a link",
            format!("cat '{}'", inside("link")),
            &[("file-read-data", format!("{other}/hidden/a"), file)],
        ),
        read("reading a denied name", inside(".env")),
        read("the same deeper", inside("sub/.env")),
        read("the same by another case", inside("sub/.ENV")),
        make("making a denied name", inside("moved/.env")),
        read("reading beneath a denied folder", inside("closed/a")),
        make("making beneath it", inside("closed/new")),
        change("changing a hook of git", inside(".git/hooks/pre-commit")),
        change("the same by another case", inside(".GIT/HOOKS/pre-commit")),
        make("making a hook in a new repository", inside("moved/.envrc")),
        make("a protected name with a long s", inside("moved/.v\u{17f}code")),
        change("changing the index of git", inside(".git/index")),
        renamed("moving a folder", inside("moved"), inside("moved2"), folder),
        renamed("moving .git away", inside(".git"), inside("git"), folder),
        renamed("moving a folder to a name on the way", inside("sub"), inside(".github"), folder),
        renamed("moving the denied folder", inside("closed"), inside("open"), folder),
        trial(
            "a hard link to a denied name",
            format!("ln '{}' '{}'", inside(".env"), inside("hard")),
            &[("file-link", inside(".env"), file)],
        ),
        trial(
            "a clone of a denied name",
            format!("cp -c '{}' '{}'", inside(".env"), inside("clone")),
            &[("file-read-data", inside(".env"), file)],
        ),
        make("the private folder", format!("{private}/x")),
        make("a protected name in the private folder", format!("{private}/.envrc")),
        make("the machine's temporary folder", "/private/tmp/cofferdam-verify".to_owned()),
        read("the list of accounts", "/private/etc/master.passwd".to_owned()),
        Trial {
            name: "a signal to a process outside",
            line: "kill -0 $PPID".to_owned(),
            requests: vec![Request::about("signal", Subject::Process { same_sandbox: false })],
        },
        Trial {
            name: "another process's arguments",
            line: "ps -ax -o args | grep -q launchd".to_owned(),
            requests: vec![Request::about("sysctl-read", Subject::Named("kern.proc.all".to_owned()))],
        },
        address("this machine by TCP", "nc -z -G 2 127.0.0.1 631 || nc -z -G 2 127.0.0.1 22", "localhost", 631),
        address("a host by TCP", "nc -z -G 2 192.0.2.1 443", "192.0.2.1", 443),
        Trial {
            name: "a service that opens programs",
            line: "open -a Calculator".to_owned(),
            requests: vec![Request::about(
                "mach-lookup",
                Subject::Named("com.apple.coreservices.launchservicesd".to_owned()),
            )],
        },
    ]
}
