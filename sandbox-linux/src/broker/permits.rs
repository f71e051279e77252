//! What the host said to one call: about which object, held so that nothing else can stand in for it.
//!
//! A call that must be asked about is put aside with the object that it would work on held by descriptors. When the host has said yes the
//! call is served anew from its beginning: its path is resolved and judged again, and what comes of that must be the very object that is
//! held. The work is then done on those descriptors, which are of the host's own mounts: inside, the place can only be read.

use super::guest_path::{Object, Place};
use super::judge::REFUSED;
use super::raw_call::{Identity, facts};
use cofferdam_bridge::prompt::PromptAccess;
use cofferdam_bridge::verdict::RuleRef;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Questions that one call may come to: a rename has two names, and one of them may be exchanged.
const MOST_QUESTIONS: usize = 4;

/// The permits of the call that is served, and the question that it came to.
#[derive(Debug, Default)]
pub(crate) struct Permits {
    given: Vec<Permit>,
    question: Option<Question>,
}

/// A yes of the host's.
#[derive(Debug)]
pub(crate) struct Permit {
    access: PromptAccess,
    path: PathBuf,
    pin: Pin,
    used: bool,
}

/// Something to ask the host.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) access: PromptAccess,
    pub(crate) path: PathBuf,
    pub(crate) rule: RuleRef,
    pub(crate) program: Option<String>,
}

/// Whether the host has said yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permitted {
    Yes,
    NotAsked,
    /// It has said yes, but to something else than what is there now.
    Another,
}

/// What has a name on the host, and the directory that the name is in, held by descriptors.
#[derive(Debug)]
pub(crate) struct Pin {
    object: Option<OwnedFd>,
    parent: OwnedFd,
}

impl Permits {
    /// Begins to serve a call with what was said to it so far.
    pub(crate) fn begin(&mut self, given: Vec<Permit>) {
        self.given = given;
        self.given.iter_mut().for_each(|permit| permit.used = false);
        self.question = None;
    }

    /// What the call came to: a question, and what was said to it before.
    pub(crate) fn take(&mut self) -> Option<(Question, Vec<Permit>)> {
        let given = std::mem::take(&mut self.given);
        Some((self.question.take()?, given))
    }

    /// Whether `access` to the canonical `path` was said yes to, and still means the same.
    pub(super) fn look(&mut self, access: PromptAccess, path: &Path) -> Permitted {
        // Who may change it may read it.
        let covers = |one: &Permit| {
            one.path == path
                && (one.access == access || (one.access == PromptAccess::Write && access == PromptAccess::Read))
        };
        let asked = self.given.len() >= MOST_QUESTIONS || self.given.iter().any(|permit| !permit.used);
        match self.given.iter_mut().find(|permit| covers(permit)) {
            Some(permit) if Pin::of(path).is_ok_and(|now| now.is(&permit.pin)) => {
                permit.used = true;
                Permitted::Yes
            }
            Some(_) => Permitted::Another,
            // A yes that nothing came back for: the path of the call leads elsewhere by now.
            None if asked => Permitted::Another,
            None => Permitted::NotAsked,
        }
    }

    /// Notes that the host must be asked.
    pub(super) fn ask(&mut self, access: PromptAccess, path: &Path, rule: RuleRef, program: Option<String>) {
        self.question.get_or_insert(Question { access, path: path.to_owned(), rule, program });
    }

    /// The host's own object in place of the guest's, where the host said that it may be changed.
    pub(super) fn on_host(&self, object: &Object) -> Result<Option<Object>, Errno> {
        let Some(pin) = self.pin(PromptAccess::Write, &object.path) else { return Ok(None) };
        let held = pin.object.as_ref().ok_or(REFUSED)?;
        same(&object.descriptor, held)?;
        let descriptor = held.try_clone().map_err(|_| Errno::EMFILE)?;
        Ok(Some(Object { descriptor, path: object.path.clone() }))
    }

    /// Whether the object that is about to be read is the one that was asked about, if one was.
    pub(super) fn is_approved(&self, object: &Object) -> Result<(), Errno> {
        let read = self.pin(PromptAccess::Read, &object.path).or_else(|| self.pin(PromptAccess::Write, &object.path));
        match read {
            Some(pin) => same(&object.descriptor, pin.object.as_ref().ok_or(REFUSED)?),
            None => Ok(()),
        }
    }

    /// The host's own directory in place of the guest's, where the host said that the name in it may be changed. Answers whether it is.
    pub(super) fn place_on_host(&self, place: &mut Place) -> Result<bool, Errno> {
        let Some(pin) = self.pin(PromptAccess::Write, &place.path) else { return Ok(false) };
        same(&place.parent, &pin.parent)?;
        place.parent = pin.parent.try_clone().map_err(|_| Errno::EMFILE)?;
        Ok(true)
    }

    /// Whether this call may change what is at `path` because the host said so.
    pub(super) fn was_asked_about(&self, path: &Path) -> bool {
        self.pin(PromptAccess::Write, path).is_some()
    }

    fn pin(&self, access: PromptAccess, path: &Path) -> Option<&Pin> {
        self.given.iter().find(|one| one.used && one.access == access && one.path == path).map(|one| &one.pin)
    }
}

impl Permit {
    /// The host said yes to what `pin` holds.
    pub(crate) fn new(question: &Question, pin: Pin) -> Self {
        Self { access: question.access, path: question.path.clone(), pin, used: false }
    }
}

impl Pin {
    /// What is at a canonical path of the host, and its directory. No link leads there.
    pub(crate) fn of(path: &Path) -> Result<Self, Errno> {
        let parent = open(path.parent().unwrap_or(Path::new("/")), OFlag::O_DIRECTORY)?;
        let object = match open(path, OFlag::O_NOFOLLOW) {
            Ok(object) => Some(object),
            Err(Errno::ENOENT) => None,
            Err(errno) => return Err(errno),
        };
        Ok(Self { object, parent })
    }

    fn is(&self, other: &Self) -> bool {
        let one = |pin: &Self| -> Result<(Identity, Option<Identity>), Errno> {
            let object = pin.object.as_ref().map(|object| facts(object.as_fd())).transpose()?;
            Ok((facts(pin.parent.as_fd())?.identity, object.map(|object| object.identity)))
        };
        one(self).is_ok_and(|own| one(other).is_ok_and(|other| own == other))
    }
}

/// The host's own directory in place of the guest's, as for a name beside one that was asked about. Where that is another one, as in private
/// temporary storage, nothing can be moved from one to the other: `EXDEV`, after which programs copy.
pub(super) fn host_directory(place: &mut Place) -> Result<(), Errno> {
    let parent = open(place.directory(), OFlag::O_DIRECTORY).map_err(|_| Errno::EXDEV)?;
    same(&place.parent, &parent).map_err(|_| Errno::EXDEV)?;
    place.parent = parent;
    Ok(())
}

fn open(path: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let how = OpenHow::new().flags(flags | OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(resolve);
    openat2(nix::fcntl::AT_FDCWD, path, how)
}

fn same(one: &OwnedFd, other: &OwnedFd) -> Result<(), Errno> {
    match (facts(one.as_fd()), facts(other.as_fd())) {
        (Ok(one), Ok(other)) if one.identity == other.identity => Ok(()),
        _ => Err(REFUSED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn question(path: &Path) -> Question {
        let rule = RuleRef::new("test", None, "prompt.filesystem.write");
        Question { access: PromptAccess::Write, path: path.to_owned(), rule, program: None }
    }

    #[test]
    fn fs_34_a_yes_is_to_the_object_that_was_there_and_to_no_other() {
        let name = format!("cofferdam-permits-{}", std::process::id());
        let folder = std::env::temp_dir().canonicalize().unwrap().join(name);
        fs::create_dir(&folder).unwrap();
        let path = folder.join("file");
        fs::write(&path, "one").unwrap();
        let mut permits = Permits::default();
        permits.begin(vec![Permit::new(&question(&path), Pin::of(&path).unwrap())]);
        assert_eq!(permits.look(PromptAccess::Write, &path), Permitted::Yes);
        assert_eq!(permits.look(PromptAccess::Read, &path), Permitted::Yes);
        fs::write(folder.join("other"), "two").unwrap();
        fs::rename(folder.join("other"), &path).unwrap();
        assert_eq!(permits.look(PromptAccess::Write, &path), Permitted::Another);
        fs::remove_file(&path).unwrap();
        assert_eq!(permits.look(PromptAccess::Write, &path), Permitted::Another);
        // A name that was free when it was asked about must still be.
        permits.begin(vec![Permit::new(&question(&path), Pin::of(&path).unwrap())]);
        assert_eq!(permits.look(PromptAccess::Write, &path), Permitted::Yes);
        fs::write(&path, "three").unwrap();
        assert_eq!(permits.look(PromptAccess::Write, &path), Permitted::Another);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn fs_34_a_yes_that_nothing_came_back_for_opens_nothing_else() {
        let mut permits = Permits::default();
        let (asked, other) = (Path::new("/usr"), Path::new("/etc"));
        permits.begin(vec![Permit::new(&question(asked), Pin::of(asked).unwrap())]);
        assert_eq!(permits.look(PromptAccess::Write, other), Permitted::Another);
        // Another name of the same call is asked about when the first was used.
        assert_eq!(permits.look(PromptAccess::Write, asked), Permitted::Yes);
        assert_eq!(permits.look(PromptAccess::Write, other), Permitted::NotAsked);
    }
}
