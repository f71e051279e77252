//! The actions that the kernel brings.

mod files;
mod git;
mod git_clone;
mod git_commit;
mod git_diff;
mod git_status;
mod http_fetch;
mod shell;

use super::registry::Actions;

/// `actions` with all of them.
pub(super) fn register(actions: Actions) -> Actions {
    actions
        .add(files::read())
        .add(files::write())
        .add(files::list())
        .add(files::search())
        .add(shell::Shell)
        .add(git_status::GitStatus)
        .add(git_diff::GitDiff)
        .add(git_commit::GitCommit)
        .add(git_clone::GitClone)
        .add(http_fetch::fetch())
}
