//! `cofferdam policy learn`: runs a program again and again, and writes the least policy under which it works.

mod rounds;

use super::run::Isolation;
use crate::compose::{self, Places, PlaneName, absolute};
use crate::escape::{sentences, shown};
use crate::failure::{Failure, io};
use crate::kernel_parts::KernelParts;
use crate::terminal::relay::{self, Mode};
use crate::{exit_code, policy_file};
use clap::Args;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::{Explain, StreamMode};
use cofferdam_bridge::policy_line::path_line;
use cofferdam_bridge::verdict::Denial;
use cofferdam_kernel::Kernel;
use cofferdam_kernel::policy::{Policy, Told};
use rounds::{Learned, Round};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Writes the least policy under which a program works, for you to review.
///
/// The program runs SEVERAL TIMES, always in the sandbox and never outside it: first under the base policy, then with
/// what it was refused, until it is refused nothing more. What it changes in places that the policy opens it
/// changes each time. Its input is empty, and its output is thrown away until the last run, which proves the policy.
///
/// What it asks to read outside the workspace it is shown in the next run, unless it is on the built-in list of
/// secrets. No line opens by itself a secret, what other tools run later, a whole home directory, a device, the
/// network, or changes outside the workspace: such lines stand in the file as comments, marked with what they are.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code 0 when the program ends with 0 under what was written, 1 when it does not.\n\nExamples:\n  \
    cofferdam policy learn --output build.toml --base dev -- make test\n  \
    cofferdam policy learn -- python3 report.py",
    override_usage = "cofferdam policy learn [OPTIONS] -- PROGRAM [ARGUMENTS]..."
)]
pub(crate) struct Learn {
    /// Where to write the policy; standard output unless given.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrite FILE if it exists.
    #[arg(long, requires = "output")]
    force: bool,
    /// The policy to build on: a built-in's name or a file.
    #[arg(long, value_name = "FILE|NAME", default_value = "strict")]
    base: String,
    /// The directory that is worked in; the current one unless given.
    #[arg(long, value_name = "DIR")]
    workspace: Option<PathBuf>,
    /// Let it come to change this path and what lies beneath it, if it asks; else only the workspace.
    #[arg(long, value_name = "PATH")]
    write: Vec<PathBuf>,
    /// Start in this directory; the workspace unless given.
    #[arg(long, value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// Set a variable, or hand on the one of that name. The policy does not hold it.
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// End each run after this time, such as 30s or 5m, in place of the base's limit.
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
    /// Learn from one run alone, and prove nothing.
    #[arg(long)]
    once: bool,
    /// Run it at most so often before the proof.
    #[arg(long, value_name = "COUNT", default_value = "16", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// The least isolation that will do. `landlock` lets it run where this machine refuses namespaces.
    #[arg(long, value_enum, value_name = "TIER")]
    isolation: Option<Isolation>,
    /// The program and its arguments.
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    program: Vec<String>,
}

impl Learn {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        self.refuse_to_overwrite()?;
        let kernel = KernelParts::new(PlaneName::Own).kernel()?;
        let places = Places::find(self.workspace.as_deref())?;
        let learned = self.learn(&kernel, &places)?;
        let text = self.text(&learned);
        self.write(&text)?;
        let name = self.output.as_ref().map_or_else(|| "the policy".to_owned(), |file| file.display().to_string());
        for left in learned.lesson.undecided() {
            say(&format!("left to you: {}", shown(&left)));
        }
        if self.once {
            say(&format!("{name} holds what one run was refused; nothing is proved"));
            return Ok(0);
        }
        let proof = self.round(&kernel, &places, &text, Explain::Known, StreamMode::Inherit)?;
        self.check_untouched(&text)?;
        Ok(match proof {
            Round::Ended(report) if report.cause.success() => {
                say(&format!("proved: under {name} the program ends with exit code 0"));
                0
            }
            Round::Ended(report) => {
                let code = exit_code::of_cause(&report.cause);
                say(&format!(
                    "not proved: under {name} the program ends with exit code {code}; nothing else was refused that a line could open"
                ));
                1
            }
            Round::Refused(denial) => {
                say(&format!("not proved: {} of {} is refused", denial.access, shown(&denial.subject)));
                1
            }
            Round::NotFound(failure) => return Err(failure),
        })
    }

    /// Runs the program once, in the sandbox, under `text`.
    fn round(
        &self,
        kernel: &Kernel,
        places: &Places,
        text: &str,
        explain: Explain,
        output: StreamMode,
    ) -> Result<Round, Failure> {
        let mut policy = self.policy(text)?;
        if let Some(time) = &self.timeout {
            let lines = serde_json::json!({ "version": 1, "limits": { "wall": time } });
            policy = policy.with_lines(&lines.to_string(), "command line")?;
        }
        let vm = compose::vm(kernel, policy, places, explain)?;
        let (program, arguments) = self.program.split_first().ok_or_else(no_program)?;
        let stdout = if self.output.is_some() { output } else { StreamMode::Null };
        let command = compose::command(&vm, program, arguments, &self.env, self.workdir.as_deref())?;
        let command = command.stdin(StreamMode::Null).stdout(stdout).stderr(output);
        let runtime = compose::runtime().map_err(|error| io("the run cannot be waited for", &error))?;
        match runtime.block_on(relay::run(command, Mode::Captured, false)) {
            Ok((report, _)) => Ok(Round::Ended(Box::new(report))),
            Err(failure) => match failure.error().denial() {
                Some(denial) => Ok(Round::Refused(Box::new(denial))),
                None if failure.error().code == ErrorCode::ProgramNotFound => Ok(Round::NotFound(failure)),
                None => Err(failure),
            },
        }
    }

    fn name(&self) -> &str {
        let program = self.program.first().map_or("", String::as_str);
        Path::new(program).file_name().and_then(|name| name.to_str()).unwrap_or(program)
    }

    /// A program that lies on the host's `PATH` where the policy shows nothing.
    fn found_outside(&self) -> Option<Denial> {
        let name = self.program.first().filter(|name| !name.contains('/'))?;
        let path = std::env::var_os("PATH")?;
        let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())?;
        let canonical = found.canonicalize().ok()?;
        let lines = [path_line("commands.allow", canonical.to_str()?)?, path_line("filesystem.read", found.to_str()?)?];
        let mut denial = Denial::new("command.execute", found.to_str()?);
        denial.resolved = canonical.to_str().map(str::to_owned);
        denial.remedy = Some(format!("{}\nenvironment.pass = [\"PATH\"]", lines.join("\n")));
        denial.program = Some(name.clone());
        Some(denial)
    }

    /// The base as a file can name it from wherever it lies.
    fn base(&self) -> Result<String, Failure> {
        policy_file::find(&self.base)?;
        if Policy::builtin_text(&self.base).is_some() { Ok(self.base.clone()) } else { absolute(Path::new(&self.base)) }
    }

    fn policy(&self, text: &str) -> Result<Policy, Failure> {
        let name = self.output.as_ref().map_or_else(|| "learned policy".to_owned(), |file| file.display().to_string());
        Ok(policy_file::parse(text, &name)?)
    }

    fn text(&self, learned: &Learned) -> String {
        learned.lesson.text(&Told {
            program: self.name(),
            arguments: self.program.len().saturating_sub(1),
            rounds: learned.rounds,
            usage: &learned.usage,
        })
    }

    fn refuse_to_overwrite(&self) -> Result<(), Failure> {
        match &self.output {
            Some(file) if !self.force && file.symlink_metadata().is_ok() => Err(exists(file)),
            _ => Ok(()),
        }
    }

    fn write(&self, text: &str) -> Result<(), Failure> {
        let Some(file) = &self.output else { return super::print(text) };
        let mut options = OpenOptions::new();
        // The program may have made one of that name meanwhile.
        if self.force {
            options.write(true).create(true).truncate(true)
        } else {
            options.write(true).create_new(true)
        };
        let mut open = options.open(file).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => exists(file),
            _ => io(&format!("`{}` cannot be written", file.display()), &error),
        })?;
        open.write_all(text.as_bytes()).map_err(|error| io(&format!("`{}` cannot be written", file.display()), &error))
    }

    /// A program that may write where its policy lies could have rewritten it.
    fn check_untouched(&self, text: &str) -> Result<(), Failure> {
        match &self.output {
            Some(file) if std::fs::read_to_string(file).ok().as_deref() != Some(text) => {
                let sentence = format!("`{}` was changed while the program ran; do not use it", file.display());
                Err(Failure::new(ErrorCode::IoFailed, sentence)
                    .hint("write the policy where the program cannot: --output FILE"))
            }
            _ => Ok(()),
        }
    }
}

fn exists(file: &Path) -> Failure {
    Failure::new(ErrorCode::AlreadyExists, format!("`{}` exists and is left as it is", file.display()))
        .hint("name another file, or overwrite it with --force")
}

fn no_program() -> Failure {
    Failure::new(ErrorCode::RequestInvalid, "no program is named").hint("cofferdam policy learn -- PROGRAM ARGUMENTS")
}

/// Says how it goes. When standard error cannot be written there is nobody to tell.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "cofferdam: {}", sentences(line));
}
