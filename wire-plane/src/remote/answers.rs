//! How an answer to a small bridge comes off the wire: by its JSON form, but for bytes.

use cofferdam_bridge::persistence::FilesystemSnapshot;
use cofferdam_contract::wire::data::Data;
use cofferdam_contract::wire::fault::WireFault;
use cofferdam_contract::wire::typed::{field, from_data, take_bytes};

pub(super) trait Answered: Sized {
    fn answered(answer: Data) -> Result<Self, WireFault>;
}

impl Answered for Vec<u8> {
    fn answered(answer: Data) -> Result<Self, WireFault> {
        answer.into_bytes().ok_or(WireFault::InvalidResult)
    }
}

impl Answered for Option<FilesystemSnapshot> {
    fn answered(mut answer: Data) -> Result<Self, WireFault> {
        if answer == Data::Null {
            return Ok(None);
        }
        let bytes = take_bytes(&mut answer, "bytes")?;
        Ok(Some(FilesystemSnapshot::new(field::<String>(&mut answer, "format")?, bytes)))
    }
}

macro_rules! by_json {
    ($($answer:ty),* $(,)?) => { $(impl Answered for $answer {
        fn answered(answer: Data) -> Result<Self, WireFault> {
            from_data(answer)
        }
    })* };
}
by_json!(
    (),
    bool,
    u64,
    String,
    serde_json::Value,
    std::time::Duration,
    cofferdam_bridge::clock::ScheduledTimer,
    cofferdam_bridge::clock::Timestamp,
    cofferdam_bridge::filesystem::FileMetadata,
    Vec<cofferdam_bridge::filesystem::DirectoryEntry>,
    Option<cofferdam_bridge::module::ModuleFormat>,
    cofferdam_bridge::permission::PermissionVerdict,
);
