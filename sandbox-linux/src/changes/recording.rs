//! A change set while its run is under way: made before the guest begins, closed when it has ended.

use super::attribute;
use super::diff::Diff;
use super::disk_use::DiskUse;
use super::entry::{Facts, MOST_LEVELS, directory, without_links};
use super::fault::{io, unsuitable};
use super::layers::Layers;
use super::lock::Lock;
use super::overlay_place::{Directory, OverlayPlace};
use super::record::{self, Durable, RECORD, Record};
use super::removal;
use super::stamp::Stamp;
use super::store::{ChangeStore, LOCK, OpenStore, UPPER, WORK};
use crate::mountinfo::{self, Mount};
use crate::plan::view::{Node, View};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::event::{ChangeSummary, ExecutionReport};
use nix::errno::Errno;
use nix::sys::stat::{FchmodatFlags, Mode, UtimensatFlags, fchmodat, mkdirat, utimensat};
use nix::sys::statfs::{FsType, fstatfs};
use nix::sys::time::TimeSpec;
use nix::unistd::{FchownatFlags, Gid, Uid, fchownat};
use std::ffi::{CStr, CString};
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// `OVERLAYFS_SUPER_MAGIC`.
const OVERLAY: FsType = FsType(0x794c_7630);

/// A change set that a run fills. Dropping it without [`finish`](Self::finish) removes it: nothing ran.
#[derive(Debug)]
pub(crate) struct Recording {
    store: OwnedFd,
    folder: OwnedFd,
    name: CString,
    place: OverlayPlace,
    record: Record,
    kept: bool,
    _lock: Lock,
}

impl Recording {
    /// Makes an empty change set in `store` for a run of `program` in the sandbox whose first process is `process`, and which sees
    /// `workspace` as `view` shows it.
    pub(crate) fn begin(
        store: &ChangeStore,
        workspace: &Path,
        view: &View,
        program: &str,
        process: Option<i32>,
    ) -> Result<Self, BridgeError> {
        let OpenStore { root, path: place } = store.make()?;
        out_of_reach(&place, workspace, view)?;
        nothing_mounted_in(workspace)?;
        let beneath = without_links(workspace).map_err(|errno| io("cannot open the workspace", workspace, errno))?;
        let facts = Facts::of(&beneath).map_err(|errno| io("cannot look at the workspace", workspace, errno))?;
        if let Some(Node::Bind { device, inode, .. }) = view.nodes.get(workspace)
            && (*device, *inode) != (facts.device, facts.inode)
        {
            return Err(io("the workspace was exchanged since the policy was read", workspace, Errno::ESTALE));
        }
        let id = new_id()?;
        let path = place.join(&id);
        let failed = |errno| io("cannot make a change set at", &path, errno);
        let name = CString::new(id).map_err(|_| failed(Errno::EINVAL))?;
        mkdirat(&root, name.as_c_str(), Mode::S_IRWXU).map_err(failed)?;
        let folder = directory(&root, &name).map_err(failed)?;
        let lock = Lock::try_take(&folder, LOCK).map_err(failed)?.ok_or(Errno::EBUSY).map_err(failed)?;
        let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let record = Record {
            version: 1,
            workspace: workspace.to_owned(),
            device: facts.device,
            inode: facts.inode,
            created_ms: u64::try_from(created.as_millis()).unwrap_or(u64::MAX),
            program: program.to_owned(),
            process: process.and_then(|number| Some((number, record::begin_of(number)?))),
            finished: false,
            summary: None,
        };
        let found = Directory { path: workspace.to_owned(), device: facts.device, inode: facts.inode };
        let none = Directory { path: PathBuf::new(), device: 0, inode: 0 };
        let place = OverlayPlace { workspace: found, upper: none.clone(), work: none };
        let mut recording = Self { store: root, folder, name, place, record, kept: false, _lock: lock };
        recording.layers(&facts, &path)?;
        let stamp =
            Stamp::take(&beneath).map_err(|errno| match errno {
            Errno::ENAMETOOLONG => unsuitable(format!(
                "folders of the workspace lie more than {MOST_LEVELS} deep in each other, which is deeper than changes can be kept apart; use filesystem.changes = \"direct\""
            )),
            errno => io("cannot look at all of the workspace", workspace, errno),
        })?;
        stamp.write(&recording.folder, Durable::No).map_err(failed)?;
        record::write(&recording.folder, RECORD, &recording.record, Durable::No).map_err(failed)?;
        Ok(recording)
    }

    /// Makes the upper layer and the working directory beside it. The overlay's own root has the upper layer's owner and mode.
    fn layers(&mut self, workspace: &Facts, path: &Path) -> Result<(), BridgeError> {
        let failed = |errno| io("cannot make a layer for changes at", path, errno);
        for name in [UPPER, WORK] {
            mkdirat(&self.folder, name, Mode::S_IRWXU).map_err(failed)?;
        }
        let upper = directory(&self.folder, UPPER).map_err(failed)?;
        if fstatfs(&upper).map_err(failed)?.filesystem_type() == OVERLAY {
            return Err(unsuitable(format!(
                "`{}` lies on an overlay itself, as the root of a container does, and the kernel puts no layer of changes there; set XDG_STATE_HOME to a directory on a volume",
                path.display()
            )));
        }
        match attribute::set(&upper, attribute::OPAQUE, b"n")
            .and_then(|()| attribute::remove(&upper, attribute::OPAQUE))
        {
            Ok(()) => {}
            Err(Errno::EOPNOTSUPP) => {
                return Err(unsuitable(format!(
                    "`{}` lies on a file system without user extended attributes, which an overlay needs; set XDG_STATE_HOME to a directory on another (ext4, xfs, btrfs, tmpfs of Linux 6.6)",
                    path.display()
                )));
            }
            Err(errno) => return Err(failed(errno)),
        }
        let own = Facts::of(&upper).map_err(failed)?;
        if (own.user, own.group) != (workspace.user, workspace.group) {
            let (user, group) = (Uid::from_raw(workspace.user), Gid::from_raw(workspace.group));
            fchownat(&upper, c".", Some(user), Some(group), FchownatFlags::AT_SYMLINK_NOFOLLOW).map_err(|_| {
                unsuitable("the workspace belongs to another user or group, whose changes cannot be kept apart; run as that user, or with filesystem.changes = \"direct\"")
            })?;
        }
        let mode = Mode::from_bits_truncate(workspace.mode);
        fchmodat(&upper, c".", mode, FchmodatFlags::FollowSymlink).map_err(failed)?;
        let (left, modified) = (TimeSpec::UTIME_OMIT, TimeSpec::new(workspace.modified.0, workspace.modified.1));
        utimensat(&upper, c".", &left, &modified, UtimensatFlags::FollowSymlink).map_err(failed)?;
        self.place.upper = Directory::find(&path.join("upper")).map_err(failed)?;
        self.place.work = Directory::find(&path.join("work")).map_err(failed)?;
        Ok(())
    }

    /// What the overlay is made of.
    pub(crate) fn place(&self) -> &OverlayPlace {
        &self.place
    }

    /// How much the run writes, to be looked at while it runs; none where that cannot be had.
    pub(crate) fn disk_use(&self) -> Option<DiskUse> {
        directory(&self.folder, UPPER).ok().map(DiskUse::new)
    }

    /// The run has ended: what it left is kept and told in `report`. Where it changed nothing, nothing is kept.
    pub(crate) fn finish(mut self, report: &mut ExecutionReport) {
        match self.close() {
            Ok(summary) => report.changes = summary,
            Err(_) => {
                // What there is stays, uncounted, since it cannot be told what that is; whoever asks for it is told why.
                self.kept = true;
                report.changes = Some(ChangeSummary::new(self.id()));
            }
        }
    }

    fn close(&mut self) -> Result<Option<ChangeSummary>, BridgeError> {
        let failed = |errno| io("cannot close the change set of", &self.record.workspace, errno);
        removal::remove(&self.folder, WORK).map_err(failed)?;
        let layers = Layers::open(&self.folder, &self.record, &self.place.upper.path)?;
        let diff = Diff::of(&layers)?;
        if diff.is_empty() && diff.left_out.is_empty() {
            return Ok(None);
        }
        let summary = diff.summary(&self.id());
        (self.record.finished, self.record.summary) = (true, Some(summary.clone()));
        record::write(&self.folder, RECORD, &self.record, Durable::No).map_err(failed)?;
        self.kept = true;
        Ok(Some(summary))
    }

    fn id(&self) -> String {
        self.name.to_string_lossy().into_owned()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if !self.kept {
            let _ = removal::remove(&self.store, &self.name);
        }
    }
}

/// Refuses a store that a guest could look into, by its own path or by another that leads to a directory above it.
fn out_of_reach(store: &Path, workspace: &Path, view: &View) -> Result<(), BridgeError> {
    let inside = |what: &Path| {
        unsuitable(format!(
            "changes would be kept in `{}`, which the program could reach through `{}`; set XDG_STATE_HOME to a directory outside of what the policy shows",
            store.display(),
            what.display()
        ))
    };
    if store.starts_with(workspace) {
        return Err(inside(workspace));
    }
    for place in store.ancestors() {
        let Ok(found) = Directory::find(place) else { continue };
        for (path, node) in &view.nodes {
            let Node::Bind { device, inode, .. } = node else { continue };
            if (*device, *inode) == (found.device, found.inode) {
                return Err(inside(path));
            }
        }
    }
    Ok(())
}

/// Refuses a workspace with mounts in it: an overlay shows what lies beneath them.
fn nothing_mounted_in(workspace: &Path) -> Result<(), BridgeError> {
    let mounts = fs::read("/proc/self/mountinfo").map_err(|error| {
        io("cannot read", Path::new("/proc/self/mountinfo"), Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
    })?;
    for Mount { place, .. } in mountinfo::mounts(&mounts) {
        if place != workspace && place.starts_with(workspace) {
            return Err(unsuitable(format!(
                "something is mounted at `{}`, inside the workspace, and an overlay cannot show it; unmount it, or use filesystem.changes = \"direct\"",
                place.display()
            )));
        }
    }
    Ok(())
}

/// A name that no other change set has.
fn new_id() -> Result<String, BridgeError> {
    use std::fmt::Write as _;
    let random = crate::random::bytes::<5>().map_err(|error| {
        io("cannot read", Path::new("/dev/urandom"), Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
    })?;
    let mut id = String::from("c");
    for byte in random {
        let _ = write!(id, "{byte:02x}");
    }
    Ok(id)
}

/// Whether a name can be that of a change set.
pub(crate) fn is_id(name: &CStr) -> bool {
    let bytes = name.to_bytes();
    bytes.len() == 11 && bytes.first() == Some(&b'c') && bytes.iter().skip(1).all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_name_and_nothing_that_leads_elsewhere() {
        assert!(is_id(&CString::new(new_id().unwrap()).unwrap()));
        for name in [c"..", c"c../../../../", c"", c"cz000000000", c"c0123456789a"] {
            assert!(!is_id(name), "{name:?}");
        }
    }
}
