//! Rules that can never match, refused when a policy is loaded: whoever wrote them thinks that something holds which does not.

use super::document::{Document, Entry};
use super::tree::invalid;
use super::{http_rule, listen_rule};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::profile::NetworkMode;

/// Checks all layers of a policy, from what is extended to what extends it.
pub(super) fn check(layers: &[Document]) -> Result<(), BridgeError> {
    let lists = [
        (entries(layers, |layer| &layer.read), entries(layers, |layer| &layer.deny)),
        (entries(layers, |layer| &layer.write), entries(layers, |layer| &layer.deny)),
        (entries(layers, |layer| &layer.commands_allow), entries(layers, |layer| &layer.commands_deny)),
    ];
    for (allowed, denied) in lists {
        for (layer, entry) in allowed {
            // Of two rules about the very same place deny wins, wherever each stands.
            let winner =
                denied.iter().find(|(_, deny)| deny.text.trim_end_matches('/') == entry.text.trim_end_matches('/'));
            if let Some((_, winner)) = winner {
                let why = format!(
                    "`{}` can never match: `{}` ({}) is about the same place, and deny wins",
                    entry.rule.text,
                    winner.rule.text,
                    winner.rule.place()
                );
                return Err(invalid(&layer.source, entry.place, &why));
            }
        }
    }
    network(layers)
}

fn network(layers: &[Document]) -> Result<(), BridgeError> {
    let mode = layers.iter().rev().find_map(|layer| layer.network_mode).unwrap_or(NetworkMode::Deny);
    listen_rule::check(layers, mode)?;
    http_rule::check(layers)?;
    if mode == NetworkMode::Allowlist {
        return Ok(());
    }
    for layer in layers {
        if let Some((_, entry)) = layer.network_allow.iter().chain(&layer.network_datagrams).next() {
            let why = format!(
                "`{}` can never match: `network.mode` lets no name through or every one; write network.mode = \"allowlist\"",
                entry.rule.text
            );
            return Err(invalid(&layer.source, entry.place, &why));
        }
    }
    Ok(())
}

fn entries<'a>(layers: &'a [Document], list: fn(&'a Document) -> &'a Vec<Entry>) -> Vec<(&'a Document, &'a Entry)> {
    layers.iter().flat_map(|layer| list(layer).iter().map(move |entry| (layer, entry))).collect()
}
