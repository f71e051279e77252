//! The kernel: runs what its host does not trust, under one policy, on whichever plane the host picks.
//!
//! It decides, compiles the policy to a profile, hands that to an execution plane, and carries what comes back. It never
//! reads a file, starts a process, looks at the environment or opens a socket itself: planes and the host do.
//!
//! ```
//! use cofferdam_kernel::{Kernel, VmSpec, policy::Policy};
//! # use cofferdam_bridge::{error::BridgeError, execution::ExecutionBridge};
//! # type Failure = Box<dyn std::error::Error>;
//! # #[expect(dead_code, reason = "an example to read and to compile")]
//! async fn greet(plane: impl ExecutionBridge<Error = BridgeError> + 'static) -> Result<(), Failure> {
//!     let kernel = Kernel::builder(plane).build()?;
//!     let vm = kernel.create_vm(VmSpec::new(Policy::builtin("dev")?).workspace("/srv/project"))?;
//!     let output = vm.command("git").args(["log", "--oneline"]).output().await?;
//!     println!("{}: {}", output.success(), String::from_utf8_lossy(&output.stdout));
//!     Ok(())
//! }
//! ```

#![forbid(unsafe_code)]

pub mod action;
pub mod audit;
mod command;
mod dry_run;
mod error;
pub mod exec;
mod execution;
mod guard;
mod kernel;
pub mod output;
pub mod policy;
mod poller;
mod prompt;
mod queue;
mod recording;
mod refusals;
pub mod session;
mod telemetry;
mod vm;
mod wall_timer;

pub use command::{Command, Output};
pub use dry_run::{Decided, DryRun};
pub use error::KernelError;
pub use execution::{Controller, Execution};
pub use guard::GuardLimits;
pub use kernel::{Kernel, KernelBuilder};
pub use telemetry::instruments;
pub use vm::{Vm, VmSpec};
