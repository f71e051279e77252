//! Base64 (RFC 4648, section 4) for output that is no text.

pub(crate) use cofferdam_bridge::action::{decode_base64 as decode, encode_base64 as encode};
