//! Fetching something over HTTP.

use super::bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Asks for what an URL answers. Redirections are told, not followed: where they lead is decided anew.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HttpFetch {
    /// `http://` or `https://`.
    pub url: String,
    /// The method.
    #[serde(default)]
    pub method: HttpMethod,
    /// Request headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What is sent, with `POST`, `PUT` and `PATCH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Bytes>,
    /// At most so many bytes of the answer; 1 MiB unless given, and 8 MiB at most.
    #[serde(default = "HttpFetch::usual_most")]
    #[schemars(range(min = 0, max = 8_388_608))]
    pub most: u64,
}

/// Headers, query and body may hold secrets: they stay out of logs.
impl fmt::Debug for HttpFetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpFetch").field("method", &self.method).finish_non_exhaustive()
    }
}

impl HttpFetch {
    /// The most that is taken of an answer, in bytes.
    pub const MOST: u64 = 8 << 20;

    /// Asks for `url` by `GET`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            method: HttpMethod::Get,
            headers: BTreeMap::new(),
            body: None,
            most: Self::usual_most(),
        }
    }

    fn usual_most() -> u64 {
        1 << 20
    }
}

/// A method of RFC 9110.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[non_exhaustive]
pub enum HttpMethod {
    /// `GET`.
    #[default]
    Get,
    /// `HEAD`.
    Head,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `PATCH`.
    Patch,
    /// `DELETE`.
    Delete,
}

impl HttpMethod {
    /// As it stands in a request.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// What was answered, whatever its status.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct HttpFetched {
    /// The status code.
    pub status: u16,
    /// Headers, by their names in small letters; values of the same name joined by commas. What is no text is left out.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Bytes,
    /// Whether that is all of it.
    pub complete: bool,
}

/// What was answered stays out of logs.
impl fmt::Debug for HttpFetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpFetched").field("status", &self.status).finish_non_exhaustive()
    }
}

impl HttpFetched {
    /// An answer.
    pub fn new(status: u16, headers: BTreeMap<String, String>, body: Vec<u8>, complete: bool) -> Self {
        Self { status, headers, body: Bytes::new(body), complete }
    }
}
