//! Round after round: run, take what was refused, run again.

use super::{Learn, say};
use crate::compose::{self, Places, absolute};
use crate::exit_code;
use crate::failure::Failure;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::ExecutionReport;
use cofferdam_bridge::execution::{Explain, StreamMode};
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::limits::LimitName;
use cofferdam_bridge::usage::Usage;
use cofferdam_bridge::verdict::{Denial, Verdict};
use cofferdam_kernel::Kernel;
use cofferdam_kernel::policy::{Access, Lesson};
use nix::sys::signal::Signal;
use std::path::Path;

/// What one run came to.
pub(super) enum Round {
    Ended(Box<ExecutionReport>),
    /// The program itself may not run.
    Refused(Box<Denial>),
    /// A bare name that is nowhere inside.
    NotFound(Failure),
}

/// What all of them came to.
pub(super) struct Learned {
    pub(super) lesson: Lesson,
    pub(super) rounds: usize,
    pub(super) usage: Usage,
    /// What was tried for a program that fails although nothing is refused any more.
    resorts: Vec<Resort>,
    /// Those of them after which nothing else came to be learned.
    fruitless: Vec<Resort>,
    /// Whether it came to work, and which resort is being done without since.
    without: Option<Option<Resort>>,
}

/// What may help where a program fails and no refusal says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resort {
    /// To show the workspace, so that it starts there.
    Workspace,
    /// To open what was only asked about.
    Looks,
}

impl Learn {
    /// Runs the program until nothing more is to be learned.
    pub(super) fn learn(&self, kernel: &Kernel, places: &Places) -> Result<Learned, Failure> {
        let mut lesson = Lesson::new(self.base()?, places.placeholders());
        for path in &self.write {
            lesson = lesson.may_write(absolute(path)?);
        }
        if let Some(tier) = self.isolation {
            lesson = lesson.require(tier.tier());
        }
        let mut learned = Learned {
            lesson,
            rounds: 0,
            usage: Usage::default(),
            resorts: Vec::new(),
            fruitless: Vec::new(),
            without: None,
        };
        let mut looked_up = false;
        loop {
            let text = self.text(&learned);
            learned.rounds += 1;
            let (again, told) = match self.round(kernel, places, &text, Explain::Everything, StreamMode::Null)? {
                Round::Ended(report) => {
                    let again = self.learn_from(&mut learned, &report, places)?;
                    (again, format!("exit code {}", exit_code::of_cause(&report.cause)))
                }
                Round::Refused(denial) => (learned.lesson.take(&[*denial]), "the program may not run".to_owned()),
                Round::NotFound(failure) if looked_up => return Err(failure),
                Round::NotFound(failure) => {
                    looked_up = true;
                    let denial = self.found_outside().ok_or(failure)?;
                    (learned.lesson.take(&[denial]), "the program is not visible".to_owned())
                }
            };
            let news = if again { "more is opened" } else { "nothing more is to be opened" };
            say(&format!("run {}: {told}; {news}", learned.rounds));
            if !again || self.once || learned.rounds >= self.rounds as usize {
                return Ok(learned);
            }
        }
    }

    /// Takes what a run was refused. Answers whether another run would differ.
    fn learn_from(&self, learned: &mut Learned, report: &ExecutionReport, places: &Places) -> Result<bool, Failure> {
        let success = report.cause.success();
        if let Some(Some(resort)) = learned.without {
            learned.without = Some(None);
            // It came to work before. If it does not without this, it is what it needs.
            return Ok(!success && self.resort(learned, resort, true));
        }
        learned.usage = report.usage.clone();
        let more = learned.lesson.take(&report.denials);
        if more {
            learned.fruitless.clear();
        }
        match &report.cause {
            ExitCause::Signalled { signal, .. } if *signal == Signal::SIGINT as i32 => {
                return Err(Failure::new(ErrorCode::InvalidState, "interrupted; nothing is written"));
            }
            ExitCause::Limit { limit, value, .. } => return Ok(learned.lesson.raise(*limit, *value) || more),
            // Whoever names a time wants the program ended then.
            ExitCause::TimedOut { .. } if self.timeout.is_some() => return Ok(more),
            ExitCause::TimedOut { limit_ms } => return Ok(learned.lesson.raise(LimitName::Wall, *limit_ms) || more),
            _ if more => return Ok(true),
            _ => {}
        }
        if success {
            // The last resort helped, and the one before did not; perhaps it is not needed.
            let earlier = if let [earlier, _] = learned.resorts[..] { Some(earlier) } else { None };
            let untried = learned.without.is_none();
            return Ok(earlier.filter(|_| untried).is_some_and(|earlier| {
                learned.without = Some(Some(earlier));
                self.resort(learned, earlier, false)
            }));
        }
        self.next_resort(learned, places)
    }

    /// Tries the next thing that may help, and takes back what did not.
    fn next_resort(&self, learned: &mut Learned, places: &Places) -> Result<bool, Failure> {
        let mut order = vec![Resort::Looks];
        if !self.shows_workspace(learned, places)? {
            order.insert(usize::from(!self.names_what_lies_in(places)), Resort::Workspace);
        }
        for resort in order {
            if !learned.resorts.contains(&resort) && self.resort(learned, resort, true) {
                learned.resorts.push(resort);
                learned.fruitless.push(resort);
                return Ok(true);
            }
        }
        for resort in std::mem::take(&mut learned.fruitless) {
            self.resort(learned, resort, false);
        }
        Ok(false)
    }

    /// Whether runs start in the workspace.
    fn shows_workspace(&self, learned: &Learned, places: &Places) -> Result<bool, Failure> {
        let placeholders = places.placeholders();
        let Some(workspace) = placeholders.workspace.clone() else { return Ok(true) };
        let policy = self.policy(&self.text(learned))?.compile(&placeholders, &compose::host_environment())?;
        let decision = policy.decide(&Access::Read(workspace))?;
        Ok(decision.verdict == Verdict::Allow && decision.rule.is_some())
    }

    fn resort(&self, learned: &mut Learned, resort: Resort, yes: bool) -> bool {
        match resort {
            Resort::Looks => learned.lesson.take_looks(yes),
            Resort::Workspace => learned.lesson.take_workspace(self.name(), yes),
        }
    }

    /// Whether an argument is the relative name of something in the workspace.
    fn names_what_lies_in(&self, places: &Places) -> bool {
        let placeholders = places.placeholders();
        let Some(workspace) = placeholders.workspace.as_deref() else { return false };
        let relative =
            self.program.iter().skip(1).filter(|argument| !argument.starts_with('/') && !argument.is_empty());
        let mut places = relative.map(|argument| Path::new(workspace).join(argument));
        places.any(|path| path.symlink_metadata().is_ok())
    }
}
