//! `cofferdam plane`: planes as processes of their own.

use super::plane_serve::PlaneServe;
use crate::failure::Failure;
use clap::Subcommand;

/// Works with execution planes.
#[derive(Debug, Subcommand)]
pub(crate) enum PlaneCommand {
    Serve(PlaneServe),
}

impl PlaneCommand {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        match self {
            Self::Serve(serve) => serve.execute(),
        }
    }
}
