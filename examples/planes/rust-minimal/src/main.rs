//! Serves the plane on standard input and output.

use cofferdam_example_rust_minimal::MinimalPlane;
use cofferdam_wire_plane::{Transport, serve};
use std::sync::Arc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // On macOS this program is its own keeper.
    cofferdam_plane_kit::keeper_program::serve_if_asked();
    serve(Arc::new(MinimalPlane::new()?), None, Transport::stdio()?)?;
    Ok(())
}
