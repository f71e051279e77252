//! `cofferdam conformance`: whether a plane does what its contract says.

use crate::compose::utf8;
use crate::failure::Failure;
use crate::{exit_code, plane_choice};
use clap::{Args, ValueEnum};
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_contract::conformance::{Group, Kit, Report};
use cofferdam_wire_plane::RemoteBridges;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Holds a plane's program against the contract: what its descriptor claims is tried for real, attempts to break out among it.
///
/// The program is started as `cofferdam run --plane` starts it. What it does not claim is skipped. It may take a minute.
#[derive(Debug, Args)]
#[command(
    override_usage = "cofferdam conformance [OPTIONS] -- PROGRAM [ARGUMENTS]...",
    after_help = "\
Exit codes:\n  0    nothing failed\n  1    something failed\n  125  the plane could not be started\n\n\
Examples:\n  cofferdam conformance -- ./plane.py\n  cofferdam conformance --format junit -- ./plane.py > report.xml"
)]
pub(crate) struct Conformance {
    /// How the result is told.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Check these groups only, such as `streams` or `isolation`.
    #[arg(long, value_name = "GROUP")]
    group: Vec<String>,
    /// Where a folder for the checks is made; the temporary directory unless given.
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// The plane's program and its arguments.
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    program: Vec<String>,
}

/// A format of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// The Test Anything Protocol.
    Tap,
    /// The XML of JUnit.
    Junit,
    /// JSON.
    Json,
}

impl Conformance {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let groups = self.group.iter().map(|name| group(name)).collect::<Result<Vec<_>, _>>()?;
        let (program, arguments) = self.program.split_first().ok_or_else(|| {
            Failure::new(ErrorCode::RequestInvalid, "no program is named").hint("cofferdam conformance -- PROGRAM")
        })?;
        let plane = plane_choice::process(&find(program)?, arguments)?;
        let mut kit = Kit::new(program.as_str());
        if let Some(folder) = &self.scratch {
            kit = kit.scratch(folder);
        }
        let plane = Arc::new(plane);
        kit = with_small_bridges(kit.plane(plane.clone()), &RemoteBridges::new(plane));
        if !groups.is_empty() {
            kit = kit.only(groups);
        }
        let report = kit.run();
        super::print(&self.told(&report))?;
        Ok(if report.passed() { 0 } else { exit_code::CHECKS_FAILED })
    }

    fn told(&self, report: &Report) -> String {
        match self.format {
            Format::Text => report.text(),
            Format::Tap => report.tap(),
            Format::Junit => report.junit(),
            Format::Json => report.json(),
        }
    }
}

/// What of the small operations the plane says to answer is checked, too. Its file system must hold nothing that matters.
fn with_small_bridges(mut kit: Kit, bridges: &RemoteBridges) -> Kit {
    if bridges.answers("filesystem") {
        kit = kit.filesystem(bridges.clone());
    }
    if bridges.answers("clock") {
        kit = kit.clock(bridges.clone());
    }
    if bridges.answers("random") {
        kit = kit.random(bridges.clone());
    }
    if bridges.answers("permission") {
        kit = kit.permission(bridges.clone());
    }
    if bridges.answers("persistence") {
        kit = kit.persistence(bridges.clone());
    }
    if bridges.answers("event") {
        kit = kit.events(bridges.clone());
    }
    kit
}

fn group(name: &str) -> Result<Group, Failure> {
    let names = || Group::ALL.map(Group::name).join(", ");
    Group::ALL.into_iter().find(|group| group.name() == name).ok_or_else(|| {
        Failure::new(ErrorCode::RequestInvalid, format!("there is no group `{name}`"))
            .hint(format!("there are {}", names()))
    })
}

/// A program by its path, or in the directories of PATH.
fn find(program: &str) -> Result<PathBuf, Failure> {
    if program.contains('/') {
        return Ok(program.into());
    }
    let places = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&places).map(|place| place.join(program)).find(|path| Path::is_file(path));
    let found = found.map(utf8).transpose()?;
    found.map(PathBuf::from).ok_or_else(|| {
        Failure::new(ErrorCode::ProgramNotFound, format!("there is no program `{program}` in PATH"))
            .hint("name it by its path, such as ./plane.py")
    })
}
