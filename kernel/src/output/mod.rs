//! What a program printed, as a value: text, JSON, or lines.
//!
//! ```
//! use cofferdam_kernel::output::Shape;
//! use serde_json::json;
//!
//! assert_eq!(Shape::text().apply(b"  done\n")?, json!("done"));
//! assert_eq!(Shape::json().apply(b"{\"rows\": 3}\n")?, json!({ "rows": 3 }));
//! assert_eq!(Shape::lines().apply(b"one\n\n two \n")?, json!(["one", "two"]));
//! // What is no UTF-8 is an error, unless it is asked to be replaced.
//! assert!(Shape::text().apply(b"\xff").is_err());
//! assert_eq!(Shape::text().lossy().apply(b"\xff")?, json!("\u{fffd}"));
//! # Ok::<(), cofferdam_bridge::error::BridgeError>(())
//! ```

mod json;
mod shape;

pub use shape::{InvalidUtf8, OutputMode, Shape};
