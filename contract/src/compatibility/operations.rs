//! Two releases of `bridge-contract.json`, compared.

use super::{Change, Changes};
use cofferdam_bridge::contract::{BridgeContract, Caller, OperationGroup};

/// Compares the operations of two releases.
pub fn operations(old: &BridgeContract, new: &BridgeContract) -> Vec<Change> {
    let mut changes = Changes::default();
    if old.version != new.version {
        changes.breaking("version", "generation-raised", format!("{} became {}", old.version, new.version));
    }
    for before in &old.groups {
        match new.groups.iter().find(|after| after.operation == before.operation) {
            None => changes.breaking(&before.operation, "operation-removed", "the operation is gone"),
            Some(after) => group(&mut changes, before, after),
        }
    }
    for after in &new.groups {
        if !old.groups.iter().any(|before| before.operation == after.operation) {
            changes.compatible(&after.operation, "operation-added", "the operation is new");
        }
    }
    changes.0
}

fn group(changes: &mut Changes, old: &OperationGroup, new: &OperationGroup) {
    let place = old.operation.as_str();
    let signature = |group: &OperationGroup| {
        (group.convention, group.argument_types.clone(), group.return_type.clone(), group.request.clone())
    };
    if signature(old) != signature(new) {
        changes.breaking(place, "signature-changed", "convention, arguments or answer have changed");
    }
    for name in old.names.iter().filter(|name| !new.names.contains(name)) {
        changes.breaking(place, "guest-name-removed", format!("guests cannot call it `{name}` any more"));
    }
    for name in new.names.iter().filter(|name| !old.names.contains(name)) {
        changes.compatible(place, "guest-name-added", format!("guests may call it `{name}`, too"));
    }
    match (old.caller, new.caller) {
        (Caller::Guest, Caller::Kernel) => changes.breaking(place, "caller-narrowed", "guests may not ask any more"),
        (Caller::Kernel, Caller::Guest) => changes.compatible(place, "caller-widened", "guests may ask now"),
        _ => {}
    }
    let bounds = [
        ("arguments", old.max_argument_bytes, new.max_argument_bytes),
        ("answer", old.max_result_bytes, new.max_result_bytes),
    ];
    for (what, before, after) in bounds {
        if after < before {
            changes.breaking(place, "bound-lowered", format!("the {what} may have {after} bytes, not {before}"));
        } else if after > before {
            changes.compatible(place, "bound-raised", format!("the {what} may have {after} bytes"));
        }
    }
    if old.permissions != new.permissions {
        changes.breaking(place, "permissions-changed", "what is asked of the policy has changed");
    }
    for code in new.errors.iter().filter(|code| !old.errors.contains(code)) {
        changes.compatible(place, "error-added", format!("it may answer `{code}`"));
    }
    for code in old.errors.iter().filter(|code| !new.errors.contains(code)) {
        changes.compatible(place, "error-removed", format!("it does not answer `{code}` any more"));
    }
}
