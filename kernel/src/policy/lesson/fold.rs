//! From single needs to lines: what lies beneath another line goes without, and many files of one folder become the folder.

use super::Lesson;
use super::need::{Key, Need, Standing};
use std::collections::BTreeMap;

/// As many files of one folder as stand in single lines.
const MOST_FILES: usize = 8;

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) path: String,
    pub(super) who: String,
    pub(super) note: Option<String>,
}

impl Lesson {
    /// The lines in force.
    pub(super) fn lines(&self) -> BTreeMap<Key, Vec<Line>> {
        let mut lines: BTreeMap<Key, BTreeMap<String, Line>> = BTreeMap::new();
        for ((key, path), need) in self.needs.iter().filter(|(_, need)| self.is_in_force(need)) {
            lines.entry(*key).or_default().insert(path.clone(), line(path, need));
        }
        for key in [Key::Read, Key::Commands] {
            if let Some(own) = lines.get_mut(&key) {
                self.fold(own);
            }
        }
        let written: Vec<String> = lines.get(&Key::Write).into_iter().flat_map(|own| own.keys().cloned()).collect();
        if let Some(read) = lines.get_mut(&Key::Read) {
            read.retain(|path, _| !written.iter().any(|above| above == path || is_beneath(path, above)));
        }
        if let Some(programs) = lines.get_mut(&Key::Commands) {
            made_by_itself(programs, &written);
        }
        for own in lines.values_mut() {
            let all: Vec<String> = own.keys().cloned().collect();
            own.retain(|path, _| !all.iter().any(|above| is_beneath(path, above)));
        }
        lines.into_iter().map(|(key, own)| (key, own.into_values().collect())).collect()
    }

    /// What is left to the reader.
    pub(super) fn marked(&self) -> BTreeMap<Key, Vec<(Standing, Line)>> {
        let mut marked: BTreeMap<Key, Vec<(Standing, Line)>> = BTreeMap::new();
        for ((key, path), need) in self.needs.iter().filter(|(_, need)| !self.is_in_force(need)) {
            marked.entry(*key).or_default().push((need.standing, line(path, need)));
        }
        marked
    }

    fn is_in_force(&self, need: &Need) -> bool {
        need.standing == Standing::Needed || (need.standing == Standing::Looked && self.takes_looks)
    }

    fn fold(&self, lines: &mut BTreeMap<String, Line>) {
        let mut folders: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for path in lines.keys() {
            if let Some((folder, _)) = path.rsplit_once('/') {
                folders.entry(folder.to_owned()).or_default().push(path.clone());
            }
        }
        for (folder, files) in folders {
            let is_secret = self.secrets.iter().any(|pattern| pattern.matches(&folder));
            if files.len() <= MOST_FILES || self.is_wide(&folder) || is_secret {
                continue;
            }
            let mut who: Vec<String> =
                files.iter().filter_map(|file| lines.remove(file)).map(|line| line.who).collect();
            who.sort();
            who.dedup();
            who.truncate(3);
            let note = Some(format!("{} files of it were asked for", files.len()));
            lines.insert(folder.clone(), Line { path: folder, who: who.join(", "), note });
        }
    }
}

/// A program that lies where the run may write is likely made by it, and would be another file the next time: its place is named.
fn made_by_itself(programs: &mut BTreeMap<String, Line>, written: &[String]) {
    for path in programs.keys().cloned().collect::<Vec<_>>() {
        let Some(place) = written.iter().find(|place| is_beneath(&path, place)) else { continue };
        if let Some(line) = programs.remove(&path) {
            let note = Some("the run may write here: what it makes itself may be executed".to_owned());
            programs.insert(place.clone(), Line { path: place.clone(), note, ..line });
        }
    }
}

fn line(path: &str, need: &Need) -> Line {
    Line { path: path.to_owned(), who: need.who(), note: need.note.clone() }
}

/// Whether `path` lies beneath `above`, by components.
pub(super) fn is_beneath(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))
}
