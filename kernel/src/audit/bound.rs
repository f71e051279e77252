//! Shortens what is too long for a record, and says that it did.

use super::hexadecimal;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// As many facts of one object stay.
const MOST_FACTS: usize = 64;

/// The longest name of a fact, in bytes.
const LONGEST_NAME: usize = 256;

/// Cuts each text in `value` to about `most` bytes and each list to `most` / 16 entries. Of a text its beginning stays, with the
/// SHA-256 of the whole; of a list and of an object what does not fit is left out.
pub(super) fn shorten(value: &mut Value, most: usize) {
    match value {
        Value::String(text) if text.len() > most => {
            let digest = hexadecimal::of(&Sha256::digest(text.as_bytes()));
            let kept = text.floor_char_boundary(most / 2);
            text.truncate(kept);
            text.push_str(&format!("… (shortened; sha256 {digest})"));
        }
        Value::Array(list) => {
            list.truncate((most / 16).max(1));
            list.iter_mut().for_each(|one| shorten(one, most));
        }
        Value::Object(object) => {
            // No event of ours has so many fields or such names: these are facts that somebody handed in.
            let mut room = MOST_FACTS;
            object.retain(|name, _| {
                room -= usize::from(room > 0);
                room > 0 && name.len() <= LONGEST_NAME
            });
            object.values_mut().for_each(|one| shorten(one, most));
        }
        _ => {}
    }
}
