//! Rules about requests of HTTP, and by whom those inside TLS are read.

use crate::verdict::RuleRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A certificate authority of the host, by the files that hold it. What stands in them is in no profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct HttpAuthority {
    /// The absolute path of its certificate on the host, in PEM.
    pub certificate: String,
    /// The absolute path of its private key on the host, in PEM (PKCS #8).
    pub key: String,
    /// The line it comes from.
    pub rule: RuleRef,
}

impl HttpAuthority {
    /// The authority of these two files.
    pub fn new(certificate: impl Into<String>, key: impl Into<String>, rule: RuleRef) -> Self {
        Self { certificate: certificate.into(), key: key.into(), rule }
    }
}

/// What requests go over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HttpScheme {
    /// TCP as it is.
    #[default]
    Http,
    /// TLS.
    Https,
}

impl HttpScheme {
    /// As it stands in an address.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that no address need tell (RFC 9110, 4.2).
    pub fn usual_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    fn is_plain(&self) -> bool {
        *self == Self::Http
    }
}

/// One rule about requests of HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct HttpRule {
    /// What they go over.
    #[serde(default, skip_serializing_if = "HttpScheme::is_plain")]
    pub scheme: HttpScheme,
    /// Methods; none for every one.
    pub methods: Vec<String>,
    /// A canonical name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// A path that is allowed with all beneath it, by whole segments, in the spelling of `canonical_path`.
    pub path: String,
    /// The line it comes from.
    pub rule: RuleRef,
}

impl HttpRule {
    /// A rule for `methods` on `path` of `host`, over TCP as it is.
    pub fn new(
        methods: Vec<String>,
        host: impl Into<String>,
        port: u16,
        path: impl Into<String>,
        rule: RuleRef,
    ) -> Self {
        Self { scheme: HttpScheme::Http, methods, host: host.into(), port, path: path.into(), rule }
    }

    /// The same over `scheme`.
    #[must_use]
    pub fn over(mut self, scheme: HttpScheme) -> Self {
        self.scheme = scheme;
        self
    }
}
