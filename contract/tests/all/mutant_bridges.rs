//! Small bridges that do wrong on purpose are caught.

use cofferdam_bridge::call::CallContext;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::execution::BridgeTypes;
use cofferdam_bridge::ids::VmId;
use cofferdam_bridge::in_memory::{MemoryPersistence, SeededRandom};
use cofferdam_bridge::persistence::{
    FilesystemSnapshot, FlushFilesystemStateRequest, LoadFilesystemStateRequest, PersistenceBridge,
};
use cofferdam_bridge::random::{FillRandomBytesRequest, RandomBridge};
use cofferdam_contract::conformance::Kit;

/// How a source of random bytes answers that has one fault.
type RandomFault = fn(&SeededRandom, FillRandomBytesRequest) -> Result<Vec<u8>, BridgeError>;

struct Bytes(fn(&SeededRandom, FillRandomBytesRequest) -> Result<Vec<u8>, BridgeError>, SeededRandom);

impl BridgeTypes for Bytes {
    type Error = BridgeError;
}

impl RandomBridge for Bytes {
    fn fill_random_bytes(&self, _: &CallContext, request: FillRandomBytesRequest) -> Result<Vec<u8>, BridgeError> {
        (self.0)(&self.1, request)
    }
}

fn right(random: &SeededRandom, request: FillRandomBytesRequest) -> Result<Vec<u8>, BridgeError> {
    random.fill_random_bytes(&CallContext::unbounded(), request)
}

#[test]
fn b7_random_bytes_that_are_none_are_caught() {
    let mutants: [RandomFault; 5] = [
        |_, request| Ok(vec![7; request.length as usize]),
        |_, request| Ok((0..request.length).map(|number| number.to_le_bytes()[0]).collect()),
        |random, request| right(random, request).map(|bytes| bytes.into_iter().map(|byte| byte & 0x7f).collect()),
        |random, request| {
            right(random, request).map(|mut bytes| {
                bytes.pop();
                bytes
            })
        },
        |random, mut request| {
            request.length = request.length.min(65_536);
            right(random, request)
        },
    ];
    for (number, mutant) in mutants.into_iter().enumerate() {
        let report = Kit::new("mutant").random(Bytes(mutant, SeededRandom::new(1))).run();
        assert!(!report.passed(), "mutant {number} passed");
    }
}

enum Wrong {
    Forgets,
    Shares,
    KeepsTheFirst,
    LosesTheFormat,
}

struct Store(Wrong, MemoryPersistence);

impl BridgeTypes for Store {
    type Error = BridgeError;
}

impl PersistenceBridge for Store {
    fn load_filesystem_state(
        &self,
        call: &CallContext,
        mut request: LoadFilesystemStateRequest,
    ) -> Result<Option<FilesystemSnapshot>, BridgeError> {
        match self.0 {
            Wrong::Forgets => return Ok(None),
            Wrong::Shares if request.vm_id.as_str() != "conformance-new" => request.vm_id = VmId::new("all"),
            _ => {}
        }
        let mut found = self.1.load_filesystem_state(call, request)?;
        if let (Wrong::LosesTheFormat, Some(snapshot)) = (&self.0, &mut found) {
            snapshot.format.clear();
        }
        Ok(found)
    }

    fn flush_filesystem_state(
        &self,
        call: &CallContext,
        mut request: FlushFilesystemStateRequest,
    ) -> Result<(), BridgeError> {
        match self.0 {
            Wrong::Shares => request.vm_id = VmId::new("all"),
            Wrong::KeepsTheFirst => {
                let asked = LoadFilesystemStateRequest::new(request.vm_id.clone());
                if self.1.load_filesystem_state(call, asked)?.is_some() {
                    return Ok(());
                }
            }
            _ => {}
        }
        self.1.flush_filesystem_state(call, request)
    }
}

#[test]
fn b7_stores_that_lose_or_mix_snapshots_are_caught() {
    for wrong in [Wrong::Forgets, Wrong::Shares, Wrong::KeepsTheFirst, Wrong::LosesTheFormat] {
        let report = Kit::new("mutant").persistence(Store(wrong, MemoryPersistence::new())).run();
        assert!(!report.passed(), "{}", report.text());
    }
}
