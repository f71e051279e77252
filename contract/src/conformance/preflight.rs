//! What a plane says of one profile, before anything runs.

use super::check::{Group, Suite, ensure};
use super::stage::Stage;
use cofferdam_bridge::descriptor::Feature;
use cofferdam_bridge::enforcement::Tier;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::profile::{CallProfile, Changes, ExecutionProfile, NetworkMode, NetworkRule};
use cofferdam_bridge::verdict::RuleRef;
use std::collections::HashSet;

const GROUP: Group = Group::Preflight;

pub(super) fn check(suite: &mut Suite, stage: &Stage) {
    let plane = &stage.plane;
    suite.check(GROUP, "plain", "a plain profile is accepted", || {
        let answer = plane.preflight(&stage.profile());
        ensure!(answer.accepted(), "it lacks {:?}", answer.shortfalls);
        Ok(())
    });
    suite.check(GROUP, "twice", "asking changes nothing: the second answer is the first", || {
        let (first, second) = (plane.preflight(&stage.profile()), plane.preflight(&stage.profile()));
        ensure!(first == second, "the answers differ");
        Ok(())
    });
    suite.check(GROUP, "once_each", "each mechanism is reported once", || {
        let answer = plane.preflight(&stage.profile());
        let unique: HashSet<_> = answer.enforcement.mechanisms.iter().map(|report| report.mechanism).collect();
        ensure!(unique.len() == answer.enforcement.mechanisms.len(), "{:?}", answer.enforcement.mechanisms);
        Ok(())
    });
    suite.check(GROUP, "gaps_have_reasons", "what is asked for and does not hold is told with the reason", || {
        let answer = plane.preflight(&stage.profile());
        let silent = answer.enforcement.gaps().find(|gap| gap.why_not.as_ref().is_none_or(|why| why.trim().is_empty()));
        ensure!(silent.is_none(), "{silent:?}");
        Ok(())
    });
    suite.check(GROUP, "shortfalls_have_words", "each shortfall says what is missing", || {
        let answer = plane.preflight(&ExecutionProfile::closed("closed"));
        ensure!(answer.shortfalls.iter().all(|shortfall| !shortfall.message.trim().is_empty()), "one is silent");
        Ok(())
    });
    for (name, tier) in [("none", Tier::None), ("landlock", Tier::Landlock), ("full", Tier::Full)] {
        suite.check(GROUP, format!("tier_{name}"), "a profile is accepted only with the tier that it requires", || {
            let mut profile = stage.profile();
            profile.isolation.require = tier;
            let answer = plane.preflight(&profile);
            let given = answer.enforcement.tier;
            ensure!(!answer.accepted() || given >= tier, "accepted with the tier {given:?}");
            let claimed = tier == Tier::None || stage.descriptor.tiers.contains(&given) || given == Tier::None;
            ensure!(!answer.accepted() || claimed, "the tier {given:?} is not among those of the descriptor");
            Ok(())
        });
    }
    beyond(suite, stage, "overlay", Feature::OverlayChanges, |profile| profile.filesystem.changes = Changes::Overlay);
    beyond(suite, stage, "no_exec", Feature::CallProfiles, |profile| profile.commands.calls = CallProfile::NoExec);
    beyond(suite, stage, "compute", Feature::CallProfiles, |profile| profile.commands.calls = CallProfile::Compute);
    told(suite, stage, "files", Feature::FilesystemRules, |_| {});
    told(suite, stage, "network", Feature::NetworkDeny, |_| {});
    told(suite, stage, "allowlist", Feature::NetworkAllowlist, |profile| {
        profile.network.mode = NetworkMode::Allowlist;
        let rule = RuleRef::new("conformance kit", None, "network.allow");
        profile.network.allow = vec![NetworkRule::new("example.org", 443, 443, rule)];
    });
    suite.check(GROUP, "refused_is_refused", "what preflight refuses, no context is made for", || {
        for change in [Changes::Direct, Changes::Overlay] {
            for require in [Tier::None, Tier::Landlock, Tier::Full] {
                let mut profile = stage.profile();
                (profile.filesystem.changes, profile.isolation.require) = (change, require);
                if plane.preflight(&profile).accepted() {
                    continue;
                }
                let vm_id = stage.new_vm();
                let made = stage.context_in(&vm_id, profile);
                plane.forget_vm(&vm_id);
                let Err(error) = made else { return Err(format!("made for {change:?} and {require:?}")) };
                let codes = [
                    ErrorCode::UnsupportedBackendFeature,
                    ErrorCode::SandboxBackendUnavailable,
                    ErrorCode::UnsupportedOperation,
                    ErrorCode::ChangesStoreUnsuitable,
                ];
                ensure!(codes.contains(&error.code), "the code is {}", error.code);
            }
        }
        Ok(())
    });
}

/// What a plane does not claim, it must refuse: to drop it would do something else than was asked.
fn beyond(suite: &mut Suite, stage: &Stage, name: &str, feature: Feature, change: impl Fn(&mut ExecutionProfile)) {
    let title = "a profile that asks for what the plane does not claim is refused";
    if stage.has(feature) {
        return suite.skip(GROUP, format!("beyond_{name}"), title, "the plane claims it");
    }
    suite.check(GROUP, format!("beyond_{name}"), title, || {
        let mut profile = stage.profile();
        change(&mut profile);
        ensure!(!stage.plane.preflight(&profile).accepted(), "it was accepted");
        Ok(())
    });
}

/// What a plane does not hold where nothing is required, it must tell.
fn told(suite: &mut Suite, stage: &Stage, name: &str, feature: Feature, change: impl Fn(&mut ExecutionProfile)) {
    let title = "a rule that the plane does not claim to hold is told as missing";
    if stage.has(feature) {
        return suite.skip(GROUP, format!("told_{name}"), title, "the plane claims it");
    }
    suite.check(GROUP, format!("told_{name}"), title, || {
        let mut profile = stage.profile();
        profile.isolation.require = Tier::None;
        change(&mut profile);
        ensure!(!stage.plane.preflight(&profile).shortfalls.is_empty(), "nothing is told as missing");
        Ok(())
    });
}
