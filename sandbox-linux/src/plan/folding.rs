//! Places where names are the same in upper and lower case: rules about names do not hold there, since `.ENVRC` makes `.envrc`.
//!
//! Directories of ext4, f2fs and tmpfs can be so (`chattr +F`), and whole file systems of other systems are. What a canonical path is told
//! by there depends on how it was first asked for, so comparing folded names would not be enough.

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::profile::{PathEffect, PathPattern, PathRule};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Device and inode of what is at a path.
type Identity = Option<(u64, u64)>;

/// Refuses writable places that fold case, where a rule takes something away by its name. `rules`: all of them, by canonical path.
pub(crate) fn check(rules: &[PathRule]) -> Result<(), BridgeError> {
    let Some(taking) = rules.iter().find(|rule| matches!(rule.effect, PathEffect::Deny | PathEffect::Protect)) else {
        return Ok(());
    };
    for rule in rules.iter().filter(|rule| rule.effect == PathEffect::Write) {
        let PathPattern::Literal(place) = &rule.pattern else { continue };
        let children =
            || fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.path()).take(8).collect();
        if folds(Path::new(place), children, identity) {
            let message = format!(
                "names in `{place}` are the same in upper and lower case, so rules about names, such as `{}`, do not hold there; use a place on another file system",
                taking.rule.text
            );
            return Err(BridgeError::new(ErrorCode::UnsupportedBackendFeature, message).with("path", place.as_str()));
        }
    }
    Ok(())
}

/// Whether `place`, or something in it, is found by its name in the other case, too.
fn folds(place: &Path, children: impl Fn() -> Vec<PathBuf>, identity: impl Fn(&Path) -> Identity) -> bool {
    let is_found = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let other: String =
            name.chars()
                .map(|letter| {
                    if letter.is_ascii_lowercase() { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() }
                })
                .collect();
        other != name && identity(path).is_some_and(|own| identity(&path.with_file_name(other)) == Some(own))
    };
    // One of two names in one directory may be a link to the other, and still be another name: `identity` follows none.
    is_found(place) || children().iter().any(|child| is_found(child))
}

/// A hard link has the identity of what it links to, but one of a directory cannot be made, and one of a file that differs in case alone
/// is nobody's habit: at worst a place is refused that need not be.
fn identity(path: &Path) -> Identity {
    fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_bridge::verdict::RuleRef;

    #[test]
    fn fs_23_a_place_that_folds_case_is_found_out_by_its_name_or_by_what_is_in_it() {
        let known = |names: &'static [(&'static str, u64)]| {
            move |path: &Path| names.iter().find(|(name, _)| Path::new(name) == path).map(|(_, inode)| (1, *inode))
        };
        let none = Vec::new;
        assert!(folds(Path::new("/usb/Work"), none, known(&[("/usb/Work", 7), ("/usb/wORK", 7)])));
        assert!(!folds(Path::new("/usb/Work"), none, known(&[("/usb/Work", 7), ("/usb/wORK", 8)])));
        assert!(!folds(Path::new("/usb/Work"), none, known(&[("/usb/Work", 7)])));
        let inner = || vec![PathBuf::from("/usb/a.txt")];
        assert!(folds(Path::new("/usb"), inner, known(&[("/usb", 1), ("/usb/a.txt", 2), ("/usb/A.TXT", 2)])));
        assert!(!folds(Path::new("/123"), none, known(&[("/123", 1)])));
    }

    #[test]
    fn ordinary_places_are_taken() {
        let rule = |effect, path: &str| {
            PathRule::new(effect, PathPattern::Literal(path.to_owned()), RuleRef::new("p", None, "rule"))
        };
        let place = std::env::temp_dir().display().to_string();
        check(&[rule(PathEffect::Write, &place), rule(PathEffect::Protect, &format!("{place}/.envrc"))]).unwrap();
    }
}
