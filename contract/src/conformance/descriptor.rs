//! What a plane says of itself.

use super::check::{Group, Suite, ensure};
use cofferdam_bridge::descriptor::{CONTRACT_GENERATION, Feature, PlaneDescriptor};
use cofferdam_bridge::enforcement::Tier;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::execution::ExecutionBridge;
use std::collections::HashSet;

pub(super) fn check(suite: &mut Suite, plane: &dyn ExecutionBridge<Error = BridgeError>) {
    let own = plane.describe();
    let mut check = |name: &str, title: &str, run: &dyn Fn() -> Result<(), String>| {
        suite.check(Group::Descriptor, name, title, run);
    };
    check("name", "the name is short, of small letters, digits, `_` and `-`", &|| {
        let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_-".contains(letter);
        ensure!(!own.name.is_empty() && own.name.len() <= 64 && own.name.chars().all(fits), "it is `{}`", own.name);
        Ok(())
    });
    check("version", "the version is told", &|| {
        ensure!(!own.version.trim().is_empty() && own.version.len() <= 64, "it is `{}`", own.version);
        Ok(())
    });
    check("generation", "the contract's generation is this kit's", &|| {
        ensure!(own.contract_generation == CONTRACT_GENERATION, "it is {}", own.contract_generation);
        Ok(())
    });
    check("constant", "the descriptor does not change", &|| {
        ensure!((0..3).all(|_| plane.describe() == own), "it has changed between two questions");
        Ok(())
    });
    check("tiers_order", "tiers stand once each, strongest last", &|| {
        ensure!(own.tiers.is_sorted_by(|a, b| a < b), "they are {:?}", own.tiers);
        Ok(())
    });
    check("features_once", "no feature stands twice", &|| {
        let unique: HashSet<_> = own.features.iter().collect();
        ensure!(unique.len() == own.features.len(), "they are {:?}", own.features);
        Ok(())
    });
    check("limits_once", "no limit stands twice", &|| {
        let unique: HashSet<_> = own.limits.iter().collect();
        ensure!(unique.len() == own.limits.len(), "they are {:?}", own.limits);
        Ok(())
    });
    check("runs_something", "something can be run: programs, JavaScript or WebAssembly", &|| {
        let runs = [Feature::Commands, Feature::JavaScript, Feature::WebAssembly];
        ensure!(runs.into_iter().any(|feature| own.has(feature)), "no such feature is claimed");
        Ok(())
    });
    check("rules_need_isolation", "who restricts files or network offers a tier above `none`", &|| {
        let rules = [Feature::FilesystemRules, Feature::NetworkDeny, Feature::NetworkAllowlist];
        let isolates = own.tiers.iter().any(|tier| *tier > Tier::None);
        ensure!(isolates || !rules.into_iter().any(|feature| own.has(feature)), "the tiers are {:?}", own.tiers);
        Ok(())
    });
    check("allowlist_needs_deny", "who allows network by name can also keep all of it away", &|| {
        ensure!(!own.has(Feature::NetworkAllowlist) || own.has(Feature::NetworkDeny), "`network_deny` is not claimed");
        Ok(())
    });
    check("overlay_needs_rules", "who keeps changes apart restricts files", &|| {
        ensure!(
            !own.has(Feature::OverlayChanges) || own.has(Feature::FilesystemRules),
            "`filesystem_rules` is not claimed"
        );
        Ok(())
    });
    check("json", "the descriptor survives its JSON form", &|| {
        let json = serde_json::to_string(&own).map_err(|error| error.to_string())?;
        let back: PlaneDescriptor = serde_json::from_str(&json).map_err(|error| error.to_string())?;
        ensure!(back == own, "it came back as {back:?}");
        Ok(())
    });
}
