//! What the plane says of itself.

use cofferdam_bridge::descriptor::{Feature, PlaneDescriptor};
use cofferdam_bridge::enforcement::Tier;
use cofferdam_bridge::limits::LimitName;

/// What it is called, and what it can do on a machine that lets it; what this one lets it do, preflight tells.
pub(super) fn offered() -> PlaneDescriptor {
    let mut descriptor = PlaneDescriptor::new("linux_native", env!("CARGO_PKG_VERSION"));
    descriptor.tiers = vec![Tier::Landlock, Tier::Full];
    descriptor.features = vec![
        Feature::Commands,
        Feature::Stdin,
        Feature::Signals,
        Feature::Terminal,
        Feature::InheritedStreams,
        Feature::FilesystemRules,
        Feature::NetworkDeny,
        Feature::NetworkAllowlist,
        Feature::CommandRules,
        Feature::CallProfiles,
        Feature::Prompts,
        Feature::OverlayChanges,
        Feature::SharedNetwork,
        Feature::ListeningPorts,
        Feature::PublishedPorts,
        Feature::HttpRules,
        #[cfg(feature = "https")]
        Feature::HttpsRules,
        Feature::DatagramRules,
        Feature::HeldPrograms,
        Feature::OutputWait,
    ];
    descriptor.limits = vec![
        LimitName::Wall,
        LimitName::Cpu,
        LimitName::Memory,
        LimitName::Processes,
        LimitName::OpenFiles,
        LimitName::Disk,
        LimitName::Stdout,
        LimitName::Stderr,
    ];
    descriptor
}
