//! Actions: typed operations that a host registers by name, and that run inside a plane.
//!
//! An action says, for its arguments, what it asks of the policy and which programs are to run; the kernel asks, runs them as executions
//! of the VM, and hands what they printed back to the action, which makes its result of it. So nothing that an action does to files,
//! processes or the network happens in the kernel's own process: it happens in the sandbox or not at all.
//!
//! A host's own action:
//!
//! ```
//! use cofferdam_bridge::error::BridgeError;
//! use cofferdam_kernel::action::{Action, Actions, Place, Plan, Step, StepEnd};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! /// How many lines a file has.
//! struct CountLines;
//!
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Which {
//!     /// The file.
//!     path: String,
//! }
//!
//! #[derive(Serialize, JsonSchema)]
//! struct Lines {
//!     lines: u64,
//! }
//!
//! impl Action for CountLines {
//!     type Arguments = Which;
//!     type Output = Lines;
//!     fn name(&self) -> &str {
//!         "count_lines"
//!     }
//!     fn summary(&self) -> &str {
//!         "Counts the lines of a file."
//!     }
//!     fn plan(&self, which: &Which, place: &Place) -> Result<Plan, BridgeError> {
//!         let path = place.resolve(&which.path)?;
//!         Ok(Plan::of(Step::program("wc").args(["-l", "--", &path])).reads(path))
//!     }
//!     fn conclude(&self, _: &Which, ends: &[StepEnd]) -> Result<Lines, BridgeError> {
//!         let said = ends.first().map(|end| String::from_utf8_lossy(&end.stdout).into_owned()).unwrap_or_default();
//!         Ok(Lines { lines: said.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0) })
//!     }
//! }
//!
//! let actions = Actions::empty().register(CountLines)?;
//! assert_eq!(actions.describe("count_lines").unwrap().summary, "Counts the lines of a file.");
//! # Ok::<(), BridgeError>(())
//! ```

mod builtin;
mod define;
mod job;
mod outcome;
mod perform;
mod permission;
mod registry;
mod rehearse;
mod step;
mod worker;

pub use define::{Action, ActionDescriptor, Place};
pub use job::{JobKeeper, JobRecord, JobsInMemory, StartedJob};
pub use outcome::{ActionResult, OwnProcesses, StepReport, Telemetry};
pub use perform::ActionOptions;
pub use registry::Actions;
pub use rehearse::{ActionDryRun, PlannedStep};
pub use step::{Plan, Step, StepEnd};
pub use worker::Worker;

/// The longest arguments of an action, as JSON, in bytes.
pub const LONGEST_ARGUMENTS: usize = 1 << 20;

/// How long an action may take unless it is said otherwise.
pub const USUAL_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);
