//! The network: nothing, only the local name proxy, or the host's without its services' sockets.

use super::Setting;
use super::text::string;
use cofferdam_bridge::profile::{NetworkMode, NetworkProfile};
use std::fmt::Write;

/// The socket of the resolver, which getaddrinfo(3) asks (mDNSResponder(8)).
const RESOLVER: &str = "/private/var/run/mDNSResponder";

/// Services that programs ask when they connect by themselves: which network there is, and whether a certificate is to be
/// trusted (names as in Chromium's `sandbox/policy/mac/network.sb` and the network policy of OpenAI's codex).
const SERVICES: [&str; 4] = [
    "com.apple.SystemConfiguration.configd",
    "com.apple.SystemConfiguration.DNSConfiguration",
    "com.apple.trustd",
    "com.apple.trustd.agent",
];

pub(super) fn write(out: &mut String, network: &NetworkProfile, setting: &Setting<'_>) {
    if let Some(folder) = setting.private_folder {
        // Sockets between the run's own programs, in the one folder where nobody else's can be.
        let folder = string(folder);
        let _ = writeln!(out, "(allow system-socket (socket-domain AF_UNIX))");
        let _ = writeln!(out, "(allow network-bind network-inbound (local unix-socket (subpath {folder})))");
        let _ = writeln!(out, "(allow network-outbound (remote unix-socket (subpath {folder})))");
    }
    match (network.mode, setting.proxy_port) {
        (NetworkMode::Inherit, _) => {
            // Addresses, not sockets of this machine's services: those would act for the program outside of its rules.
            out.push_str("(allow network-outbound (remote ip))\n");
            out.push_str("(allow network-bind network-inbound (local ip))\n");
            out.push_str("(allow system-socket (socket-domain AF_INET) (socket-domain AF_INET6))\n");
            let _ = writeln!(out, "(allow network-outbound (remote unix-socket (path-literal {})))", string(RESOLVER));
            let names: String = SERVICES.iter().map(|name| format!("\n    (global-name {})", string(name))).collect();
            let _ = writeln!(out, "(allow mach-lookup{names})");
        }
        (NetworkMode::Allowlist, Some(port)) => {
            // The filter takes no address but `localhost` and `*`; the proxy listens nowhere else.
            let _ = writeln!(out, "(allow network-outbound (remote ip \"localhost:{port}\"))");
            out.push_str("(allow system-socket (socket-domain AF_INET) (socket-domain AF_INET6))\n");
        }
        // A mode that is not known here never means allow.
        _ => out.push_str("; none: what nothing allows is refused\n"),
    }
}
