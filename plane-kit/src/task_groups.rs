//! Cgroups that hold a limit on processes and threads, for planes without other cgroups: the kernel refuses each task past the limit, and
//! counts that it did (pids controller, cgroups(7)). One serves a run; emptied, it serves the next.
//!
//! They end with their plane. An empty one that a killed host has left is removed by the next that makes some.

use crate::cgroup_place::{Layout, MOUNTS, Place};
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Emptied groups that are kept for the next run.
const MOST_FREE: usize = 16;

/// Of those, as many keep their files open: a host that starts one program after the other needs one, and descriptors are few.
const MOST_OPEN: usize = 4;

/// The groups of one plane.
#[derive(Clone, Debug, Default)]
pub struct TaskGroups(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// None may be made here, or none is wanted.
    refused: bool,
    /// One has been made.
    begun: bool,
    /// Those whose files are open come last, and are taken first.
    free: Vec<(Place, Option<Files>)>,
}

/// Files of a group that every run in it needs.
#[derive(Debug)]
struct Files {
    events: File,
    entrance: File,
    limit: File,
}

/// The group of one run. Dropping it, when the run is gone, gives it back.
#[derive(Debug)]
pub struct TaskGroup {
    place: Place,
    /// There until it is given back.
    files: Option<Files>,
    all: TaskGroups,
    /// How often the kernel had refused a task before.
    before: u64,
}

impl TaskGroups {
    /// Groups that are never made, as where none may be.
    pub fn none() -> Self {
        Self(Arc::new(Mutex::new(State { refused: true, begun: false, free: Vec::new() })))
    }

    /// What would hold a limit: the name of the controller, where a group may be made. Makes none.
    pub fn holder(&self) -> Option<&'static str> {
        if self.lock().refused { None } else { Some(label(find()?.layout)) }
    }

    /// A group of at most so many tasks beside the one that keeps them; none where none may be made.
    pub fn take(&self, most: u64) -> Option<TaskGroup> {
        let free = {
            let mut state = self.lock();
            if state.refused {
                return None;
            }
            state.free.pop()
        };
        let (place, files) = match free {
            Some((place, files)) => (place, files),
            None => (self.make()?, None),
        };
        let files =
            files.or_else(|| Files::open(&place).ok()).filter(|files| files.hold(most.saturating_add(1)).is_ok());
        let Some(files) = files else {
            place.remove();
            return None;
        };
        let before = files.refused();
        Some(TaskGroup { place, files: Some(files), all: self.clone(), before })
    }

    fn make(&self) -> Option<Place> {
        let place = find();
        let made = place.as_ref().is_some_and(|place| place.make().is_ok());
        let mut state = self.lock();
        let first = !std::mem::replace(&mut state.begun, true);
        state.refused |= !made;
        drop(state);
        let place = place.filter(|_| made)?;
        if first && let Some(parent) = place.processes.as_deref().and_then(Path::parent) {
            clear_up(parent);
        }
        Some(place)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.free.iter().for_each(|(place, _)| place.remove());
    }
}

impl TaskGroup {
    /// The file by which a process joins: the one that writes `0` to it does.
    ///
    /// # Errors
    /// That of open(2).
    pub fn entrance(&self) -> io::Result<OwnedFd> {
        let files = self.files.as_ref().ok_or(io::ErrorKind::NotFound)?;
        Ok(files.entrance.try_clone()?.into())
    }

    /// Whether the kernel has refused a task.
    pub fn struck(&self) -> bool {
        self.files.as_ref().is_some_and(|files| files.refused() > self.before)
    }

    /// What to call it in a result.
    pub fn label(&self) -> &'static str {
        label(self.place.layout)
    }
}

impl Drop for TaskGroup {
    fn drop(&mut self) {
        let list = self.place.processes.as_ref().map(|directory| fs::read_to_string(directory.join("cgroup.procs")));
        let empty = list.is_some_and(|text| text.is_ok_and(|text| text.is_empty()));
        let mut state = self.all.lock();
        if !empty || state.free.len() >= MOST_FREE {
            drop(state);
            self.place.remove();
            return;
        }
        let place = self.place.clone();
        if state.free.iter().filter(|(_, files)| files.is_some()).count() < MOST_OPEN {
            state.free.push((place, self.files.take()));
        } else {
            state.free.insert(0, (place, None));
        }
    }
}

impl Files {
    fn open(place: &Place) -> io::Result<Self> {
        let directory = place.processes.as_ref().ok_or(io::ErrorKind::NotFound)?;
        // Of version 1 the file of single threads, since one that moves itself then waits for nobody.
        let entrance = if place.layout == Layout::Unified { "cgroup.procs" } else { "tasks" };
        let writable = |name: &str| File::options().write(true).open(directory.join(name));
        Ok(Self {
            events: File::open(directory.join("pids.events"))?,
            entrance: writable(entrance)?,
            limit: writable("pids.max")?,
        })
    }

    /// Lets the kernel hold the limit. Also where it should hold that already: a program that runs as the same user may have changed it.
    fn hold(&self, most: u64) -> io::Result<()> {
        self.limit.write_all_at(most.to_string().as_bytes(), 0)
    }

    /// How often the kernel has refused a task.
    fn refused(&self) -> u64 {
        // A line with a number.
        let mut bytes = [0; 64];
        let got = self.events.read_at(&mut bytes, 0).unwrap_or(0);
        let text = bytes.get(..got).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
        text.lines().find_map(|line| line.strip_prefix("max ")?.trim().parse().ok()).unwrap_or(0)
    }
}

/// Where the next one would be.
fn find() -> Option<Place> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let place = Place::find(&own, Path::new(MOUNTS))?;
    place.processes.is_some().then_some(Place { memory: None, ..place })
}

fn label(layout: Layout) -> &'static str {
    if layout == Layout::Unified { "cgroup v2 pids" } else { "cgroup v1 pids" }
}

/// Removes empty groups of hosts that are gone. The kernel removes none in which something is.
fn clear_up(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let host =
            name.to_str().and_then(|name| name.strip_prefix("cofferdam-")?.split('-').next()?.parse::<u32>().ok());
        if host.is_some_and(|host| !Path::new("/proc").join(host.to_string()).exists()) {
            remove_empty(&entry.path());
        }
    }
}

/// Removes a group and what is beneath it, which its programs may have made. One that somebody else is clearing up is gone, or will be.
fn remove_empty(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_a_host_that_is_gone_are_removed_with_what_is_beneath_and_others_stay() {
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        let parent = std::env::temp_dir().join(format!("cofferdam-groups-{}", std::process::id()));
        let (old, own) = (format!("cofferdam-{}-2", gone.id()), format!("cofferdam-{}-1", std::process::id()));
        for group in [format!("{old}/1/deeper"), own.clone(), "of-others/1".to_owned()] {
            fs::create_dir_all(parent.join(group)).unwrap();
        }
        clear_up(&parent);
        let left: Vec<bool> = [&old, &own, "of-others/1"].map(|group| parent.join(group).exists()).to_vec();
        fs::remove_dir_all(&parent).unwrap();
        assert_eq!(left, [false, true, true]);
    }
}
