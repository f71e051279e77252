//! One line that a program needs, and why it is, or is not, in force.

use cofferdam_bridge::verdict::Denial;
use std::collections::BTreeMap;

/// As many programs as one line names.
const MOST_PROGRAMS: usize = 4;

/// The list that a line stands in, in the order of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Read,
    Write,
    Unprotect,
    Commands,
    Pass,
}

/// Whether a line is in force. The later, the less it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// It was asked about, and never opened. One that opens it, too, needs it.
    #[default]
    Looked,
    /// It is in force.
    Needed,
    /// It lets change what lies outside the workspace.
    Outside,
    /// It opens so much that a person must want it.
    Wide,
    /// It lets change what other tools run later.
    Protected,
    /// It opens something on the list of secrets.
    Secret,
}

impl Standing {
    /// What the file says of a line that is not in force.
    pub(super) fn mark(self) -> &'static str {
        match self {
            Self::Looked => "looked at",
            Self::Needed => "needed",
            Self::Outside => "outside",
            Self::Wide => "wide",
            Self::Protected => "protected",
            Self::Secret => "secret",
        }
    }
}

/// Who asked, and how often.
#[derive(Clone, Debug, Default)]
pub(super) struct Need {
    pub(super) standing: Standing,
    pub(super) programs: BTreeMap<String, u64>,
    /// What else is to be said of it.
    pub(super) note: Option<String>,
}

impl Need {
    /// Notes one refusal. A later run asks again what is still refused: the highest count stands.
    pub(super) fn asked(&mut self, denial: &Denial) {
        let alone = [(denial.program.clone().unwrap_or_else(|| "a program".to_owned()), denial.times.unwrap_or(1))];
        let several = denial.programs.iter().map(|(name, times)| (name.clone(), *times));
        let all = several.chain(alone.into_iter().filter(|_| denial.programs.is_empty()));
        for (name, times) in all {
            if self.programs.len() < MOST_PROGRAMS || self.programs.contains_key(&name) {
                let known = self.programs.entry(name).or_default();
                *known = times.max(*known);
            }
        }
        self.note.clone_from(&denial.note);
    }

    /// Who asked and how often, in a few words.
    pub(super) fn who(&self) -> String {
        let times = |times: &u64| if *times == 1 { "once".to_owned() } else { format!("{times} times") };
        let one = |(program, count): (&String, &u64)| format!("{program} {}", times(count));
        self.programs.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

/// Whether a refused call only asks about a file: it neither reads it nor goes there.
pub(super) fn only_looks(denial: &Denial) -> bool {
    const LOOKS: [&str; 17] = [
        "stat",
        "lstat",
        "newfstatat",
        "statx",
        "access",
        "faccessat",
        "faccessat2",
        "readlink",
        "readlinkat",
        "statfs",
        "getxattr",
        "lgetxattr",
        "listxattr",
        "llistxattr",
        "inotify_add_watch",
        "link",
        "linkat",
    ];
    denial.operation.as_deref().is_some_and(|operation| LOOKS.contains(&operation))
}
