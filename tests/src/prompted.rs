//! Runs that ask, in a host that embeds the kernel, and hosts that answer as a test says.

use crate::scratch::Scratch;
use cofferdam_bridge::event::ExecutionReport;
use cofferdam_bridge::prompt::{Prompt, PromptAnswer, PromptReply, Prompter};
use cofferdam_kernel::policy::{NoFiles, Policy};
use cofferdam_kernel::{Command, Kernel, KernelBuilder, KernelError, Output, Vm, VmSpec};
use cofferdam_sandbox_linux::LinuxPlane;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// A host that hands each question to the test.
struct Told(Sender<(Prompt, PromptReply)>);

impl Prompter for Told {
    fn ask(&self, prompt: Prompt, reply: PromptReply) {
        // A test that has ended wants to know of no more questions.
        let _ = self.0.send((prompt, reply));
    }
}

/// A VM with a workspace, a folder `asked` beside it that the policy says to ask about, and what its host is asked.
#[derive(Debug)]
pub struct Prompted {
    /// Holds `work` and `asked`.
    pub place: Scratch,
    /// The VM.
    pub vm: Vm,
    questions: Receiver<(Prompt, PromptReply)>,
    runtime: tokio::runtime::Runtime,
}

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

impl Prompted {
    /// With `lines` in the policy; `{place}` in them is the folder that holds all. In whichever tier this machine has.
    ///
    /// # Panics
    /// When the policy or the VM cannot be had.
    pub fn new(lines: &str) -> Self {
        Self::built(lines, |_, kernel| kernel, |policy| policy)
    }

    /// The same, with more said of the kernel, by the place that holds all, and of the policy.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    #[expect(clippy::expect_used, reason = "a test without its VM must fail loudly")]
    pub fn built(
        lines: &str,
        kernel: impl FnOnce(&Scratch, KernelBuilder) -> KernelBuilder,
        policy: impl FnOnce(Policy) -> Policy,
    ) -> Self {
        // Not where the run's private temporary folder would be, all of which may be executed.
        let place = Scratch::beneath(std::path::Path::new("/var/tmp"));
        place.write("work/own", "own");
        place.write("asked/file", "old");
        place.write("tools/tool", "");
        std::fs::copy("/bin/true", place.join("tools/tool")).expect("a program of its own");
        let root = place.path().canonicalize().expect("the folder is there");
        let lines = lines.replace("{place}", &root.to_string_lossy());
        let text = format!("version = 1\nextends = \"dev\"\n[isolation]\nrequire = \"landlock\"\n{lines}");
        let policy = policy(Policy::parse(&text, "test", &NoFiles).expect("a policy"));
        let (sender, questions) = channel();
        let builder = Kernel::builder(LinuxPlane::new().expect("a plane")).prompter(Told(sender));
        let kernel = kernel(&place, builder.prompt_limit(PATIENCE * 2)).build().expect("a kernel");
        let workspace = root.join("work");
        let vm = kernel.create_vm(VmSpec::new(policy).workspace(workspace.to_string_lossy())).expect("a VM");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Self { place, vm, questions, runtime: runtime.expect("a runtime") }
    }

    /// Asks before `asked` is changed.
    pub fn before_writing() -> Self {
        Self::new("[prompt]\nfilesystem.write = [\"{place}/asked/**\"]\n")
    }

    /// The real path of something in the place.
    ///
    /// # Panics
    /// When the folder is gone.
    #[expect(clippy::expect_used, reason = "a test without its folder must fail loudly")]
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().canonicalize().expect("the folder is there").join(name)
    }

    /// Runs `script` in the workspace, `$P` being the place, while `host` answers on this thread.
    ///
    /// # Panics
    /// When it does not start.
    #[expect(clippy::expect_used, reason = "a test without its run must fail loudly")]
    pub fn run(&self, script: &str, host: impl FnOnce(&Self)) -> Output {
        let (runtime, command) = (&self.runtime, self.command(script));
        std::thread::scope(|scope| {
            let run = scope.spawn(move || runtime.block_on(command.output()));
            host(self);
            run.join().expect("no panic").expect("it starts")
        })
    }

    fn command(&self, script: &str) -> Command {
        let place = self.path("").to_string_lossy().trim_end_matches('/').to_owned();
        self.vm.command("/bin/sh").args(["-c", script]).env("P", place).timeout(PATIENCE)
    }

    /// The same, with `answer` given to each question; answers with the subjects that were asked about.
    ///
    /// # Panics
    /// When it does not start.
    pub fn answered(&self, script: &str, answer: PromptAnswer) -> (Output, Vec<String>) {
        self.answered_by(script, |_| answer)
    }

    /// The same, with an answer to each question of its own.
    ///
    /// # Panics
    /// When it does not start.
    #[expect(clippy::expect_used, reason = "a test without its run must fail loudly")]
    pub fn answered_by(&self, script: &str, answer: impl Fn(&Prompt) -> PromptAnswer) -> (Output, Vec<String>) {
        let (outcome, asked) = self.gathered(self.command(script), answer);
        (outcome.expect("it starts"), asked)
    }

    #[expect(clippy::expect_used, reason = "a run that panics must fail its test loudly")]
    fn gathered(
        &self,
        command: Command,
        answer: impl Fn(&Prompt) -> PromptAnswer,
    ) -> (Result<Output, KernelError>, Vec<String>) {
        let (runtime, mut asked) = (&self.runtime, Vec::new());
        std::thread::scope(|scope| {
            let run = scope.spawn(move || runtime.block_on(command.output()));
            while !run.is_finished() {
                if let Ok((prompt, reply)) = self.questions.recv_timeout(Duration::from_millis(5)) {
                    // It may be settled already.
                    let _ = reply.answer(answer(&prompt));
                    asked.push(prompt.question.subject);
                }
            }
            (run.join().expect("no panic"), asked)
        })
    }

    /// Starts a program of `tools` by its name with `answer` for each question; answers how that went and how often it was asked.
    pub fn start(&self, program: &str, answer: PromptAnswer) -> (Result<Output, KernelError>, usize) {
        let command = self.vm.command(program).env("PATH", self.path("tools").to_string_lossy());
        let (outcome, asked) = self.gathered(command, |_| answer);
        (outcome, asked.len())
    }

    /// The next question.
    ///
    /// # Panics
    /// When none comes.
    #[expect(clippy::expect_used, reason = "a test whose question does not come must fail loudly")]
    pub fn question(&self) -> (Prompt, PromptReply) {
        self.questions.recv_timeout(PATIENCE).expect("a question")
    }

    /// A further question, if one has come.
    pub fn further(&self) -> Option<Prompt> {
        self.questions.try_recv().ok().map(|(prompt, _)| prompt)
    }

    /// What a file of the place holds.
    pub fn text(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.place.join(name)).ok()
    }
}

/// Whether a report tells a refusal of `access` to `subject` that the host was asked about.
pub fn tells_refusal(report: &ExecutionReport, access: &str, subject: &str) -> bool {
    report.denials.iter().any(|one| one.access == access && one.subject == subject && one.note.is_some())
}
