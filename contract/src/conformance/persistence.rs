//! Snapshots that outlive a VM.

use super::check::{Group, Suite, ensure};
use cofferdam_bridge::call::CallContext;
use cofferdam_bridge::ids::VmId;
use cofferdam_bridge::persistence::{
    FilesystemSnapshot, FlushFilesystemStateRequest, LoadFilesystemStateRequest, PersistenceBridge,
};

const GROUP: Group = Group::Persistence;

pub(super) fn check<P: PersistenceBridge>(suite: &mut Suite, store: &P) {
    let call = CallContext::unbounded();
    let told = |error: P::Error| super::stage::told(&error.into());
    let load =
        |vm: &str| store.load_filesystem_state(&call, LoadFilesystemStateRequest::new(VmId::new(vm))).map_err(told);
    let flush = |vm: &str, bytes: Vec<u8>| {
        let snapshot = FilesystemSnapshot::new("kit", bytes);
        store.flush_filesystem_state(&call, FlushFilesystemStateRequest::new(VmId::new(vm), snapshot)).map_err(told)
    };
    let bytes = |vm: &str| load(vm).map(|snapshot| snapshot.map(|snapshot| snapshot.bytes));
    suite.check(GROUP, "nothing", "nothing was kept for a new VM", || {
        ensure!(load("conformance-new")?.is_none(), "something was");
        Ok(())
    });
    for size in [0, 1, 65_536, 1_000_003] {
        suite.check(GROUP, format!("kept_{size}"), "what was kept comes back", || {
            let all: Vec<u8> = (0..size).map(|number: u32| number.to_le_bytes()[0]).collect();
            flush("conformance-kept", all.clone())?;
            ensure!(bytes("conformance-kept")? == Some(all), "something else did");
            Ok(())
        });
    }
    suite.check(GROUP, "format", "its format comes back with it", || {
        flush("conformance-format", vec![1])?;
        let format = load("conformance-format")?.map(|snapshot| snapshot.format);
        ensure!(format.as_deref() == Some("kit"), "it is {format:?}");
        Ok(())
    });
    suite.check(GROUP, "replaced", "the last one counts", || {
        flush("conformance-last", vec![1; 100])?;
        flush("conformance-last", vec![2])?;
        ensure!(bytes("conformance-last")? == Some(vec![2]), "another came back");
        Ok(())
    });
    suite.check(GROUP, "apart", "one VM's is not another's", || {
        flush("conformance-one", vec![1])?;
        flush("conformance-two", vec![2])?;
        ensure!(bytes("conformance-one")? == Some(vec![1]), "another came back");
        Ok(())
    });
}
