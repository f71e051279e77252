//! The filter that a program alone gets, with the secret of its run.

use super::Profile;
use crate::random;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use std::fmt;

/// A built filter, and where in it the words of the secret go, in bytes.
type Built = (&'static [u8], [usize; 4]);

/// In the order of `Profile::ALL`.
const FILTERS: [Built; Profile::ALL.len()] = include!(concat!(env!("OUT_DIR"), "/seccomp_profiles.rs"));

/// A profile's filter for one run.
pub(crate) struct ProgramFilter {
    /// What the call carries that executes the program, in its fourth and fifth argument.
    pub(crate) secret: [u64; 2],
    /// `struct sock_filter`s.
    pub(crate) instructions: Vec<u8>,
}

/// The secret is nobody's to read.
impl fmt::Debug for ProgramFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProgramFilter").finish_non_exhaustive()
    }
}

impl ProgramFilter {
    /// The filter of `profile` with a secret of its own.
    pub(crate) fn new(profile: Profile) -> Result<Self, BridgeError> {
        let bytes = random::bytes().map_err(|error| {
            BridgeError::new(
                ErrorCode::SandboxSetupFailed,
                format!(
                    "no random numbers can be read from /dev/urandom: {error}; a profile of system calls needs some"
                ),
            )
            .with("step", "seccomp")
            .with("errno", error.raw_os_error().unwrap_or(0))
        })?;
        Ok(Self::with_secret(profile, bytes))
    }

    /// The same with a given secret. Where a word found no place nothing could be executed.
    pub(super) fn with_secret(profile: Profile, secret: [u8; 16]) -> Self {
        let place = Profile::ALL.iter().position(|own| *own == profile);
        let (built, places) = place.and_then(|place| FILTERS.get(place)).copied().unwrap_or_default();
        let mut instructions = built.to_vec();
        for (at, word) in places.into_iter().zip(secret.chunks_exact(4)) {
            if let Some(operand) = instructions.get_mut(at..at + 4) {
                operand.copy_from_slice(word);
            }
        }
        let [low, high] = [0, 8].map(|at| {
            let mut half = [0; 8];
            half.copy_from_slice(secret.get(at..at + 8).unwrap_or(&[0; 8]));
            u64::from_le_bytes(half)
        });
        Self { secret: [low, high], instructions }
    }
}
