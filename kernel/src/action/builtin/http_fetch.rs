//! `http_fetch`: what an URL answers, by the policy's network rules.

use super::files::Worked;
use crate::action::step::Plan;
use cofferdam_bridge::action::{HttpFetch, HttpFetched, WorkerRequest};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use std::marker::PhantomData;

pub(super) fn fetch() -> Worked<HttpFetch, HttpFetched> {
    Worked {
        name: "http_fetch",
        summary: "Fetches an URL. Redirections are told and not followed.",
        plan: |asked, _| {
            let (host, port) = authority(&asked.url).ok_or_else(|| {
                let message = "`url` is no address such as https://example.com/path, without a user's name in it";
                BridgeError::new(ErrorCode::RequestInvalid, message)
            })?;
            Ok((WorkerRequest::HttpFetch(asked), Plan::default().connects(host, port)))
        },
        result: PhantomData,
    }
}

/// Host and port of an URL (RFC 3986, section 3.2). Strict: whatever could be read in two ways is none, since the worker reads it again.
fn authority(url: &str) -> Option<(String, u16)> {
    let (rest, usual) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
        (Some(rest), _) => (rest, 80),
        (_, Some(rest)) => (rest, 443),
        _ => return None,
    };
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) || url.contains('\\') {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    if let Some(inner) = authority.strip_prefix('[') {
        let (host, port) = inner.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        let port = if port.is_empty() { usual } else { number(port.strip_prefix(':')?)? };
        return Some((host.to_owned(), port));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, number(port)?),
        None => (authority, usual),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (!host.is_empty() && host.bytes().all(plain)).then(|| (host.to_ascii_lowercase(), port))
}

fn number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_url_names_one_host_and_port_or_none() {
        let table = [
            ("http://Example.com", Some(("example.com", 80))),
            ("https://example.com/a@b:9", Some(("example.com", 443))),
            ("https://example.com:8443?x", Some(("example.com", 8443))),
            ("http://[::1]:80/", Some(("::1", 80))),
            ("http://user@example.com/", None),
            ("http://example.com:80:90/", None),
            ("http://example.com\\@evil.example/", None),
            ("http://example.com%2f@evil.example/", None),
            ("http:///x", None),
            ("http://a b/", None),
            ("http://a:/", None),
            ("http://a:+80/", None),
            ("file:///etc/passwd", None),
            ("HTTP://a/", None),
        ];
        for (url, expected) in table {
            let expected = expected.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(authority(url), expected, "{url}");
        }
    }
}
