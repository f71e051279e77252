//! Where a host offers itself as the keeper's program. On Linux that is a program of its own, so there is nothing to offer.

/// Call it first in `main`: on macOS the keeper is this same program, started with an argument of its own; elsewhere it does nothing.
pub fn serve_if_asked() {}
