//! The first request and its answer: versions, encodings, features and bounds.

use super::data::Data;
use super::fault::WireFault;
use super::frame::Encoding;
use super::typed;
use cofferdam_bridge::descriptor::{CONTRACT_GENERATION, PlaneDescriptor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of the protocol that this crate speaks.
pub const PROTOCOL_VERSION: u32 = 1;

/// What one side takes at most. What is agreed is the lesser of both sides' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[non_exhaustive]
pub struct Bounds {
    /// Bytes of one frame, without its newline or length; at least 65536.
    pub max_frame_bytes: u64,
    /// Calls that wait for their answer; at least 1.
    pub max_pending_calls: u64,
}

impl Bounds {
    /// The least that a side may take in one frame.
    pub const LEAST_FRAME_BYTES: u64 = 64 * 1024;

    /// How deep a value may be nested, the message itself included. The same for everybody.
    pub const DEPTH: usize = 32;

    /// What both take.
    ///
    /// # Errors
    /// `invalid_params` for bounds too small to work with.
    pub fn agreed(self, other: Self) -> Result<Self, WireFault> {
        let both = Self {
            max_frame_bytes: self.max_frame_bytes.min(other.max_frame_bytes),
            max_pending_calls: self.max_pending_calls.min(other.max_pending_calls),
        };
        let usable = both.max_frame_bytes >= Self::LEAST_FRAME_BYTES && both.max_pending_calls >= 1;
        if usable { Ok(both) } else { Err(WireFault::InvalidParams) }
    }

    /// The frame's bound as a size in memory.
    pub fn frame_bytes(self) -> usize {
        usize::try_from(self.max_frame_bytes).unwrap_or(usize::MAX)
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self { max_frame_bytes: 4 << 20, max_pending_calls: 64 }
    }
}

/// What a program calls itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// The parameters of `session.hello`, from the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Hello {
    /// Versions of the protocol that the kernel speaks.
    pub protocol_versions: Vec<u32>,
    /// The generation of the contract whose types the kernel sends.
    pub contract_generation: u32,
    /// Who calls.
    pub kernel: Peer,
    /// Encodings that the kernel knows, the ones it likes better first. Names that a plane does not know are skipped.
    pub encodings: Vec<String>,
    /// Additions to the protocol that the kernel knows. Names that a plane does not know are skipped; version 1 has none.
    #[serde(default)]
    pub features: Vec<String>,
    /// What the kernel takes at most.
    #[serde(default)]
    pub bounds: Bounds,
}

impl Hello {
    /// A greeting that offers `encodings`, the ones liked better first.
    pub fn new(encodings: &[Encoding], bounds: Bounds) -> Self {
        let name = |encoding: &Encoding| match encoding {
            Encoding::Json => "json".to_owned(),
            Encoding::Cbor => "cbor".to_owned(),
        };
        Self {
            protocol_versions: vec![PROTOCOL_VERSION],
            contract_generation: CONTRACT_GENERATION,
            kernel: Peer { name: "cofferdam".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
            encodings: encodings.iter().map(name).collect(),
            features: Vec::new(),
            bounds,
        }
    }
}

/// The result of `session.hello`, from the plane. It is the last frame of a plane in JSON when it chose another encoding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Welcome {
    /// The version to speak, one of those that were offered.
    pub protocol_version: u32,
    /// The encoding of every frame after this one, in both directions; one of those that were offered.
    pub encoding: Encoding,
    /// The additions, of those that were offered, that the plane will use.
    #[serde(default)]
    pub features: Vec<String>,
    /// What the plane takes at most.
    #[serde(default)]
    pub bounds: Bounds,
    /// What the plane is and can do. What it names that the kernel does not know is skipped.
    pub descriptor: PlaneDescriptor,
    /// The groups of small operations that it answers besides: `filesystem`, `clock`, `random` and so on.
    #[serde(default)]
    pub groups: Vec<String>,
}

impl Welcome {
    /// Answers `hello` for a plane that knows `encodings`, and chooses the first of the kernel's that is among them.
    ///
    /// # Errors
    /// `no_common_version` where versions, generations or encodings have none in common; `invalid_params` for unusable bounds.
    pub fn answer(
        hello: &Hello,
        encodings: &[Encoding],
        bounds: Bounds,
        descriptor: PlaneDescriptor,
        groups: Vec<String>,
    ) -> Result<(Self, Bounds), WireFault> {
        let generation = hello.contract_generation == descriptor.contract_generation;
        if !hello.protocol_versions.contains(&PROTOCOL_VERSION) || !generation {
            return Err(WireFault::NoCommonVersion);
        }
        let known = |name: &String| match name.as_str() {
            "json" => Some(Encoding::Json),
            "cbor" => Some(Encoding::Cbor),
            _ => None,
        };
        let mut offered = hello.encodings.iter().filter_map(known);
        let encoding = offered.find(|encoding| encodings.contains(encoding)).ok_or(WireFault::NoCommonVersion)?;
        let agreed = bounds.agreed(hello.bounds)?;
        let welcome =
            Self { protocol_version: PROTOCOL_VERSION, encoding, features: Vec::new(), bounds, descriptor, groups };
        Ok((welcome, agreed))
    }

    /// Reads an answer to `hello`, and holds it against what was offered.
    ///
    /// # Errors
    /// `invalid_result` for what is no answer, `no_common_version` for one that chose what was not offered.
    pub fn read(data: Data, hello: &Hello) -> Result<(Self, Bounds), WireFault> {
        let welcome: Self = typed::from_data(typed::known_descriptor(data)).map_err(|_| WireFault::InvalidResult)?;
        let encoding = match welcome.encoding {
            Encoding::Json => "json",
            Encoding::Cbor => "cbor",
        };
        let offered = hello.protocol_versions.contains(&welcome.protocol_version)
            && hello.encodings.iter().any(|own| own == encoding)
            && welcome.features.iter().all(|feature| hello.features.contains(feature));
        if !offered || welcome.descriptor.contract_generation != hello.contract_generation {
            return Err(WireFault::NoCommonVersion);
        }
        let agreed = hello.bounds.agreed(welcome.bounds).map_err(|_| WireFault::InvalidResult)?;
        Ok((welcome, agreed))
    }
}
