//! Layers: an arrow only ever points to a lower layer, and each crate takes only what it may from others.

use crate::workspace::output;
use serde_json::Value;

/// A crate, its layer, and what else it may depend on.
type Row = (&'static str, u8, &'static [&'static str]);

/// The table. `ARCHITECTURE.md` gives the reason for each entry.
const TABLE: [Row; 13] = [
    ("cofferdam-bridge", 0, &["serde", "serde_json", "schemars"]),
    ("cofferdam-contract", 1, &["cofferdam-bridge", "minicbor", "serde", "serde_json", "schemars"]),
    (
        "cofferdam-kernel",
        1,
        &[
            "cofferdam-bridge",
            "ed25519-dalek",
            "serde",
            "serde_json",
            "schemars",
            "sha2",
            "thiserror",
            "tokio",
            "toml-span",
            "tracing",
        ],
    ),
    (
        "cofferdam-plane-kit",
        1,
        &[
            "cofferdam-bridge",
            "cap-std",
            "ed25519-dalek",
            "getrandom",
            "httparse",
            "nix",
            "notify",
            "libc",
            "pem",
            "rcgen",
            "rustls",
            "rustls-native-certs",
            "serde",
            "serde_json",
            "tokio",
            "tokio-rustls",
            "x509-parser",
        ],
    ),
    (
        "cofferdam-action-worker",
        1,
        &["cofferdam-bridge", "grep-matcher", "grep-regex", "grep-searcher", "ignore", "serde", "serde_json", "ureq"],
    ),
    ("cofferdam-exec-plane", 2, &["cofferdam-bridge", "cofferdam-plane-kit", "nix", "libc"]),
    (
        "cofferdam-sandbox-linux",
        2,
        &["cofferdam-bridge", "cofferdam-plane-kit", "nix", "libc", "serde", "serde_json", "socket2", "tokio"],
    ),
    ("cofferdam-sandbox-macos", 2, &["cofferdam-bridge", "cofferdam-plane-kit", "nix", "libc"]),
    ("cofferdam-wire-plane", 2, &["cofferdam-bridge", "cofferdam-contract", "cofferdam-plane-kit", "serde_json"]),
    (
        "cofferdam-cli",
        3,
        &[
            "cofferdam-action-worker",
            "cofferdam-bridge",
            "cofferdam-contract",
            "cofferdam-exec-plane",
            "cofferdam-kernel",
            "cofferdam-plane-kit",
            "cofferdam-sandbox-linux",
            "cofferdam-sandbox-macos",
            "cofferdam-wire-plane",
            "clap",
            "clap_complete",
            "nix",
            "opentelemetry",
            "opentelemetry-http",
            "opentelemetry-otlp",
            "opentelemetry_sdk",
            "schemars",
            "serde",
            "serde_json",
            "similar",
            "terminal_size",
            "tokio",
            "tracing",
            "tracing-opentelemetry",
            "tracing-subscriber",
            "ureq",
        ],
    ),
    (
        "cofferdam-tests",
        4,
        &[
            "cofferdam-bridge",
            "cofferdam-exec-plane",
            "cofferdam-kernel",
            "cofferdam-plane-kit",
            "cofferdam-sandbox-linux",
            "cofferdam-sandbox-macos",
            "nix",
            "opentelemetry-proto",
            "proptest",
            "prost",
            "serde_json",
            "tokio",
        ],
    ),
    ("cofferdam-example-rust-minimal", 4, &["cofferdam-bridge", "cofferdam-plane-kit", "cofferdam-wire-plane"]),
    ("cofferdam-xtask", 4, &["serde_json"]),
];

/// Faults in the workspace as cargo describes it.
pub(super) fn check() -> Result<Vec<String>, String> {
    let described = output("cargo", &["metadata", "--format-version", "1", "--no-deps"])?;
    let metadata: Value =
        serde_json::from_slice(&described.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = metadata.get("packages").and_then(Value::as_array).ok_or("cargo metadata lists no packages")?;
    Ok(packages.iter().flat_map(package).collect())
}

fn package(package: &Value) -> Vec<String> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let name = text(package, "name");
    let Some((_, layer, allowed)) = TABLE.iter().find(|(own, _, _)| *own == name) else {
        return vec![format!(
            "{name}: this crate has no layer; give it a row in xtask/src/tidy/layers.rs and in ARCHITECTURE.md"
        )];
    };
    let empty = Vec::new();
    let dependencies = package.get("dependencies").and_then(Value::as_array).unwrap_or(&empty);
    let normal = dependencies.iter().filter(|dependency| dependency.get("kind").is_none_or(Value::is_null));
    normal.filter_map(|dependency| edge(&name, *layer, allowed, &text(dependency, "name"))).collect()
}

fn edge(name: &str, layer: u8, allowed: &[&str], on: &str) -> Option<String> {
    if let Some((_, below, _)) = TABLE.iter().find(|(own, _, _)| *own == on)
        && *below >= layer
    {
        return Some(format!(
            "{name} -> {on}: layer {layer} may only use lower layers, and {on} is layer {below}; what both need belongs in a crate below both (bridge, or plane-kit for what owns processes)"
        ));
    }
    (!allowed.contains(&on)).then(|| {
        format!("{name} -> {on}: not among what {name} may depend on; move the code to a crate that may, or give the reason in ARCHITECTURE.md and a place in xtask/src/tidy/layers.rs")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_may_not_use_the_kernel_of_a_layer_it_may_use() {
        let fault = edge("cofferdam-exec-plane", 2, &["cofferdam-bridge"], "cofferdam-kernel").unwrap();
        assert!(fault.contains("not among"), "{fault}");
    }

    #[test]
    fn an_arrow_upward_is_a_fault_that_names_both_layers() {
        let fault = edge("cofferdam-kernel", 1, &[], "cofferdam-sandbox-linux").unwrap();
        assert!(fault.contains("layer 1") && fault.contains("layer 2"), "{fault}");
    }

    #[test]
    fn what_is_allowed_is_no_fault() {
        assert_eq!(edge("cofferdam-kernel", 1, &["cofferdam-bridge"], "cofferdam-bridge"), None);
    }
}
