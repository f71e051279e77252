//! Changes kept apart: a run under `changes = "overlay"` sees its workspace, and what it changes lands in a *change set* of its own,
//! which is then looked at, committed to the workspace, or discarded.
//!
//! A change set is a directory of the [`ChangeStore`], where no guest reaches: the upper layer of an overlay, and a stamp of the
//! workspace as it was before the guest began. Nothing here needs root, a mount or a running sandbox; all of it works on
//! descriptors and follows no link.
//!
//! ```no_run
//! use cofferdam_sandbox_linux::changes::ChangeStore;
//!
//! let store = ChangeStore::of_user()?;
//! let workspace = std::path::Path::new("/srv/project");
//! if let Some(changes) = store.newest_of(workspace)? {
//!     for change in changes.diff()?.changes {
//!         println!("{:?} {}", change.kind, change.path.display());
//!     }
//!     changes.commit()?;
//! }
//! # Ok::<(), cofferdam_bridge::error::BridgeError>(())
//! ```

mod attribute;
mod change_set;
mod closed;
mod commit;
mod diff;
mod disk_use;
mod entry;
mod fault;
mod layers;
mod lock;
mod merge;
mod overlay_place;
mod record;
mod recording;
mod removal;
mod stamp;
mod store;
mod stored_path;
#[cfg(test)]
mod testing;

pub use change_set::{ChangeSet, Side};
pub use commit::{CommitSteps, Outcome, Recovered};
pub use diff::{Change, ChangeKind, Diff, Entry, EntryKind};
pub(crate) use disk_use::DiskUse;
pub(crate) use overlay_place::{Directory, OverlayPlace};
pub(crate) use recording::Recording;
pub use store::ChangeStore;
