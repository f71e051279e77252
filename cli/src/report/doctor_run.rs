//! A whole run, as the last word on what the primitives promise.

use cofferdam_bridge::enforcement::Tier;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::ExecutionReport;
use cofferdam_kernel::policy::Policy;
use cofferdam_kernel::{Kernel, KernelError, VmSpec};
use cofferdam_sandbox_linux::LinuxPlane;
use cofferdam_sandbox_linux::doctor::Examination;

/// What came of running `true` under `strict`.
#[derive(Debug)]
pub(crate) enum TrialRun {
    /// It ended, well or not.
    Ended(Box<ExecutionReport>),
    /// It did not start.
    Refused(Box<BridgeError>),
}

impl TrialRun {
    /// Runs it, unless that would end this process, too.
    pub(crate) fn new(examination: &Examination) -> Self {
        if examination.deadly() {
            let sentence = "not tried: a filter kills whoever makes a call that every run needs; mend that first";
            return Self::Refused(Box::new(BridgeError::new(ErrorCode::SandboxBackendUnavailable, sentence)));
        }
        match run(&[]) {
            Ok(report) => Self::Ended(Box::new(report)),
            // Less isolation is never given unasked, but it may be there for who asks.
            Err(error) => run(&[WITHOUT_NAMESPACES])
                .map_or_else(|_| Self::Refused(Box::new(error)), |report| Self::Ended(Box::new(report))),
        }
    }

    /// The tier that runs get here. A machine without `true` is judged by what was examined.
    pub(crate) fn tier(&self, examination: &Examination) -> Tier {
        match self {
            Self::Ended(report) if report.cause.success() => report.enforcement.tier,
            Self::Refused(error) if error.code == ErrorCode::ProgramNotFound && examination.complete() => Tier::Full,
            _ => Tier::None,
        }
    }

    /// Whether the program ran and succeeded.
    pub(crate) fn works(&self) -> bool {
        self.report().is_some_and(|report| report.cause.success())
    }

    /// How it ended.
    pub(crate) fn report(&self) -> Option<&ExecutionReport> {
        match self {
            Self::Ended(report) => Some(report),
            Self::Refused(_) => None,
        }
    }

    /// Why it did not start.
    pub(crate) fn error(&self) -> Option<&BridgeError> {
        match self {
            Self::Ended(_) => None,
            Self::Refused(error) => Some(error),
        }
    }

    /// What came of it, for a person.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::Ended(report) if report.cause.success() => {
                let unheld: Vec<_> = report.enforcement.gaps().filter_map(|gap| gap.why_not.as_deref()).collect();
                let without =
                    if unheld.is_empty() { String::new() } else { format!("; not held: {}", unheld.join("; ")) };
                let milliseconds = report.usage.wall_us.div_ceil(1000);
                if report.enforcement.tier == Tier::Full {
                    return format!("works, in {milliseconds} ms{without}");
                }
                format!(
                    "refused as it stands; with isolation.require = \"landlock\" it works, in {milliseconds} ms{without}"
                )
            }
            Self::Ended(report) => format!("ended with {:?}", report.cause),
            Self::Refused(error) => format!("refused: {}", error.message),
        }
    }
}

/// What a policy says that does with less than namespaces.
const WITHOUT_NAMESPACES: &str = "version = 1\n[isolation]\nrequire = \"landlock\"\n";

/// Runs `true` under `strict` and the lines that are added to it.
fn run(lines: &[&str]) -> Result<ExecutionReport, BridgeError> {
    let known = |error: KernelError| error.error().clone();
    let runtime = crate::compose::runtime()
        .map_err(|error| BridgeError::new(ErrorCode::IoFailed, format!("the run cannot be waited for: {error}")))?;
    let kernel = Kernel::builder(LinuxPlane::new()?).build().map_err(known)?;
    let policy = lines.iter().try_fold(Policy::strict(), |policy, lines| policy.with_lines(lines, "doctor"))?;
    let vm = kernel.create_vm(VmSpec::new(policy)).map_err(known)?;
    let output = runtime.block_on(vm.command("true").output()).map_err(known)?;
    Ok(output.report)
}
