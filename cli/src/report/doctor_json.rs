//! The one object that `cofferdam doctor --json` prints.

use crate::report::doctor::meaning;
use crate::report::doctor_run::TrialRun;
use cofferdam_bridge::enforcement::{Enforcement, Tier};
use cofferdam_bridge::error::BridgeError;
use cofferdam_sandbox_linux::doctor::{Examination, Finding};
use schemars::{JsonSchema, schema_for};
use serde::Serialize;

/// The result of `cofferdam doctor --json`.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DoctorResult<'a> {
    /// The version of this format: 1.
    version: u32,
    /// The tier that a run gets here.
    tier: Tier,
    /// What that means, in a sentence.
    meaning: &'a str,
    /// The kernel's release.
    kernel: &'a str,
    /// The effective user id.
    user_id: u32,
    /// The kind of container around us, if it tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<&'a str>,
    /// Whether this process is under a seccomp filter.
    seccomp_filtered: bool,
    /// Each primitive that sandboxes are built from.
    primitives: Vec<PrimitiveResult<'a>>,
    /// A whole run of `true` under the policy `strict`.
    run: RunResult<'a>,
}

/// One primitive.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PrimitiveResult<'a> {
    /// Its name.
    name: &'a str,
    /// Whether it works.
    works: bool,
    /// Whether the tier `full` is impossible without it.
    required: bool,
    /// What is lost without it.
    purpose: &'a str,
    /// What there is to say when it works, such as a version.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    /// The call that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'a str>,
    /// What the kernel answered, such as `EPERM`; absent when the call ended the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    errno: Option<&'a str>,
    /// The number of `errno`.
    #[serde(skip_serializing_if = "Option::is_none")]
    errno_number: Option<i32>,
    /// Who refused: `setting`, `seccomp_filter`, `apparmor`, `selinux`, `yama`, `masked_proc`, `chroot`, `unmapped_user`,
    /// `kernel`, `permission` or `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<&'a str>,
    /// The reason, as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// The command that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<&'a str>,
}

/// The whole run.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RunResult<'a> {
    /// Whether the program ran and succeeded.
    works: bool,
    /// Its wall-clock time in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    wall_us: Option<u64>,
    /// What held.
    #[serde(skip_serializing_if = "Option::is_none")]
    enforcement: Option<&'a Enforcement>,
    /// Why it did not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a BridgeError>,
}

/// The object, on one line.
pub(crate) fn line(tier: Tier, examination: &Examination, trial: &TrialRun) -> String {
    let machine = &examination.machine;
    let report = trial.report();
    let result = DoctorResult {
        version: 1,
        tier,
        meaning: meaning(tier),
        kernel: &machine.kernel,
        user_id: machine.user_id,
        container: machine.container.as_deref(),
        seccomp_filtered: machine.filtered,
        primitives: examination.findings.iter().map(primitive).collect(),
        run: RunResult {
            works: trial.works(),
            wall_us: report.map(|report| report.usage.wall_us),
            enforcement: report.map(|report| &report.enforcement),
            error: trial.error(),
        },
    };
    // Texts, numbers and lists always have a JSON form.
    format!("{}\n", serde_json::to_string(&result).unwrap_or_default())
}

/// The JSON Schema of the object.
pub(crate) fn schema() -> String {
    let schema = schema_for!(DoctorResult<'_>);
    format!("{}\n", serde_json::to_string_pretty(&schema).unwrap_or_default())
}

fn primitive(finding: &Finding) -> PrimitiveResult<'_> {
    let refusal = finding.refusal.as_ref();
    PrimitiveResult {
        name: finding.primitive.name(),
        works: refusal.is_none(),
        required: finding.primitive.required(),
        purpose: finding.primitive.purpose(),
        detail: finding.detail.as_deref(),
        step: refusal.map(|refusal| refusal.step),
        errno: refusal.and_then(|refusal| refusal.errno),
        errno_number: refusal.and_then(|refusal| refusal.errno_number),
        layer: refusal.map(|refusal| refusal.cause.layer.name()),
        reason: refusal.map(|refusal| refusal.cause.sentence.as_str()),
        fix: refusal.and_then(|refusal| refusal.cause.fix.as_deref()),
    }
}
