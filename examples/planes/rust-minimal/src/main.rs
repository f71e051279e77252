//! Serves the plane on standard input and output.

use cofferdam_example_rust_minimal::MinimalPlane;
use cofferdam_wire_plane::{Transport, serve};
use std::sync::Arc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    serve(Arc::new(MinimalPlane::new()?), None, Transport::stdio()?)?;
    Ok(())
}
