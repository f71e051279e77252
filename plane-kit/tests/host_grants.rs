//! Grants on disk: for their user alone, whole or not at all, and none where somebody else could have written.

#![cfg(feature = "host")]
#![expect(clippy::unwrap_used, reason = "a test that meets an unexpected error must fail loudly")]

use cofferdam_bridge::ids::GrantId;
use cofferdam_bridge::prompt::{Grant, GrantStore, PromptAccess};
use cofferdam_plane_kit::host::HostGrants;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("cofferdam-grants-{}-{name}", std::process::id())))
    }

    fn store(&self) -> HostGrants {
        HostGrants::at(self.0.join("state")).unwrap()
    }

    fn file(&self) -> PathBuf {
        self.0.join("state/grants.json")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn grant(subject: &str) -> Grant {
    Grant::new(GrantId::new(""), PromptAccess::Write, subject, None)
}

#[test]
fn what_was_added_is_there_for_its_user_alone_until_it_is_revoked_or_expires() {
    let place = Place::new("kept");
    let store = place.store();
    assert_eq!(store.grants().unwrap(), []);
    let first = store.add(grant("/p/one"), None).unwrap();
    let brief = store.add(grant("/p/two"), Some(0)).unwrap();
    assert_ne!(first.id, brief.id);
    assert!(brief.expires_at.is_some() && first.granted_at.is_some());
    // Another process sees the same.
    assert_eq!(place.store().grants().unwrap(), std::slice::from_ref(&first));
    for (path, mode) in [(place.file(), 0o600), (place.0.join("state"), 0o700)] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, mode);
    }
    assert!(store.revoke(&first.id).unwrap() && !store.revoke(&first.id).unwrap());
    assert_eq!(place.store().grants().unwrap(), []);
}

#[test]
fn none_is_lost_when_many_are_added_at_once() {
    let place = Place::new("many");
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let store = place.store();
            scope.spawn(move || {
                for number in 0..8 {
                    store.add(grant(&format!("/p/{writer}/{number}")), None).unwrap();
                }
            });
        }
    });
    assert_eq!(place.store().grants().unwrap().len(), 64);
}

#[test]
fn what_others_could_have_written_grants_nothing() {
    let place = Place::new("others");
    let store = place.store();
    store.add(grant("/p"), None).unwrap();
    for path in [place.file(), place.0.join("state")] {
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, Permissions::from_mode(before.mode() | 0o020)).unwrap();
        assert_eq!(store.grants().unwrap_err().code.as_str(), "grants_damaged");
        fs::set_permissions(&path, before).unwrap();
    }
    assert_eq!(store.grants().unwrap().len(), 1);
    let text = fs::read_to_string(place.file()).unwrap();
    for wrong in ["", "{", "[]", &text.replace("\"version\": 1", "\"version\": 2"), &text.replace("grants", "others")] {
        fs::write(place.file(), wrong).unwrap();
        assert_eq!(store.grants().unwrap_err().code.as_str(), "grants_damaged", "{wrong}");
        assert!(store.add(grant("/q"), None).is_err(), "what cannot be read is not written over");
    }
    // A link in its place, to a file that would do.
    fs::write(place.0.join("elsewhere"), &text).unwrap();
    fs::remove_file(place.file()).unwrap();
    symlink(place.0.join("elsewhere"), place.file()).unwrap();
    assert!(store.grants().is_err());
}
