//! What an examination found, for people.

use crate::escape::sentences;
use crate::report::doctor_run::TrialRun;
use cofferdam_bridge::enforcement::Tier;
use cofferdam_sandbox_linux::doctor::{Cause, Examination, Finding, Refusal};

/// What a tier means for who runs something here, in one sentence.
pub(crate) fn meaning(tier: Tier) -> &'static str {
    match tier {
        Tier::Full => "programs run under namespaces, Landlock and seccomp together",
        Tier::Landlock => {
            "programs run under Landlock and seccomp without namespaces, and only under a policy that says isolation.require = \"landlock\""
        }
        _ => "nothing can be isolated here, and every run is refused until what is missing is mended",
    }
}

/// The whole report.
pub(crate) fn text(tier: Tier, examination: &Examination, trial: &TrialRun) -> String {
    let name = match tier {
        Tier::Full => "full",
        Tier::Landlock => "landlock",
        _ => "none",
    };
    let mut lines = vec![format!("This machine gives the tier `{name}`: {}.", meaning(tier))];
    let machine = &examination.machine;
    lines.push(format!("Linux {}, user {}{}", machine.kernel, machine.user_id, surroundings(examination)));
    let (needed, wanted): (Vec<_>, Vec<_>) =
        examination.findings.iter().partition(|finding| finding.primitive.required());
    let mut told = Vec::new();
    lines.push("\nNeeded by every run in the tier `full`:".to_owned());
    lines.extend(needed.into_iter().flat_map(|finding| finding_lines(finding, "FAILS", &mut told)));
    lines.push("\nNeeded by some policies:".to_owned());
    lines.extend(wanted.into_iter().flat_map(|finding| finding_lines(finding, "missing", &mut told)));
    lines.push(format!("\nA whole run, of `true` under the policy `strict`: {}", trial.sentence()));
    let mut text = lines.iter().map(|line| sentences(line)).collect::<Vec<_>>().join("\n");
    text.push('\n');
    text
}

fn surroundings(examination: &Examination) -> String {
    let machine = &examination.machine;
    let container = machine.container.as_ref().map(|kind| format!(", in a container ({kind})")).unwrap_or_default();
    let filter = if machine.filtered { ", under a seccomp filter" } else { "" };
    format!("{container}{filter}")
}

/// A cause that was told for another primitive is not told at length again.
fn finding_lines<'a>(finding: &'a Finding, failure: &str, told: &mut Vec<&'a Cause>) -> Vec<String> {
    let name = finding.primitive.name().replace('_', " ");
    let Some(refusal) = &finding.refusal else {
        let detail = finding.detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
        return vec![format!("  works    {name}{detail}")];
    };
    let mut lines = vec![format!("  {failure:<7}  {name}: {}", what(refusal))];
    if !finding.primitive.required() {
        lines.push(format!("             it is for: {}", finding.primitive.purpose()));
    }
    if told.contains(&&refusal.cause) {
        lines.push(format!("             refused by: the same ({})", refusal.cause.layer.name()));
        return lines;
    }
    told.push(&refusal.cause);
    lines.push(format!("             refused by: {} ({})", refusal.cause.sentence, refusal.cause.layer.name()));
    lines.extend(refusal.cause.fix.as_ref().map(|fix| format!("             to mend it: {fix}")));
    lines
}

fn what(refusal: &Refusal) -> String {
    refusal
        .errno
        .map_or_else(|| format!("{} ended the process", refusal.step), |errno| format!("{}: {errno}", refusal.step))
}
