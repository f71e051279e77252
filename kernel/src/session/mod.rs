//! Declared commands, and sessions in which they run.
//!
//! A [`CommandSpec`] says by name what is run and how: once, with its output as a value, or for as long as it is needed. A [`Session`] owns a
//! VM and what runs in it, and ends all of it when it is closed or dropped. Its commands reach each other over the network and share
//! what the policy lets them write; files in `/tmp`, processes and memory are each command's own.
//!
//! ```
//! use cofferdam_kernel::output::Shape;
//! use cofferdam_kernel::session::{CommandSpec, Persistence, Readiness, RunOptions, SessionSpec};
//! use cofferdam_kernel::{Kernel, VmSpec};
//! # type Failure = Box<dyn std::error::Error>;
//! # #[expect(dead_code, reason = "an example to read and to compile")]
//! async fn serve(kernel: &Kernel, vm: VmSpec) -> Result<(), Failure> {
//!     let server = Persistence::default().ready_when(Readiness::Port(8000));
//!     let spec = SessionSpec::default()
//!         .command(CommandSpec::argv("web", "python3", ["-m", "http.server", "8000"]).persistent(server))
//!         .command(CommandSpec::shell("index", "curl -s localhost:8000").output(Shape::text()));
//!     let session = kernel.open_session(vm, spec)?;
//!     session.start("web").await?;
//!     session.wait_ready("web").await?;
//!     println!("{}", session.run("index", RunOptions::default()).await?.value);
//!     session.close().await;
//!     Ok(())
//! }
//! ```

mod attachment;
mod command_spec;
mod document;
mod failure;
mod follower;
mod one_shot;
mod persistence;
mod persistent;
mod readiness;
mod restart;
mod ring;
mod schema;
#[expect(clippy::module_inception, reason = "the session itself, beside what it is made of")]
mod session;
mod spec;
mod status;
mod supervise;

pub use attachment::Attachment;
pub use command_spec::{CommandSpec, Program};
pub use failure::{CommandFailure, GuestWords, RunError};
pub use follower::{FollowEvent, Follower, OutputStream};
pub use one_shot::{CommandOutput, RunOptions};
pub use persistence::{Persistence, StandardInput};
pub use readiness::{LinePattern, Readiness};
pub use restart::{RestartPolicy, RestartWhen};
pub use schema::schema;
pub use session::{Session, SessionChanges};
pub use spec::SessionSpec;
pub use status::{CommandState, CommandStatus};
