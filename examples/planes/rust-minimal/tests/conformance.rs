//! The plane passes the conformance kit for what it claims.

use cofferdam_contract::conformance::Kit;
use cofferdam_example_rust_minimal::MinimalPlane;
use std::sync::Arc;

#[test]
fn b7_it_passes_the_kit() {
    let report = Kit::new("rust-minimal").plane(Arc::new(MinimalPlane::new().unwrap())).run();
    assert!(report.passed(), "{}", report.text());
}
