//! A plane that was built for the frozen release works with a kernel that has grown since, and the other way round.

use cofferdam_bridge::descriptor::Feature;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::ids::ExecutionId;
use cofferdam_contract::wire::data::Data;
use cofferdam_contract::wire::frame::Encoding;
use cofferdam_contract::wire::hello::Bounds;
use cofferdam_contract::wire::kernel_session::{FromPlane, KernelSession};
use cofferdam_contract::wire::plane_session::{FromKernel, PlaneSession};
use cofferdam_contract::wire::{json, method};
use cofferdam_contract::{compatibility, vectors};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

fn data(text: &str) -> Data {
    json::decode(text.as_bytes(), Bounds::DEPTH).unwrap()
}

fn baseline() -> BTreeMap<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline/v1/schema");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    files
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
        })
        .collect()
}

/// What a plane of the frozen release says: by the required fields of the frozen schemas, and nothing else.
fn only_required(schema: &Value, value: Value) -> Value {
    let Value::Object(fields) = value else { return value };
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    fields.into_iter().filter(|(name, _)| required.contains(&name.as_str())).collect()
}

#[test]
fn b7_what_the_frozen_release_requires_is_enough_for_every_type_of_today() {
    for (file, schema) in baseline() {
        let name = file.trim_end_matches(".json");
        // Alternatives require each its own.
        if schema.get("properties").is_none() {
            continue;
        }
        let Some(own) = vectors::vectors().remove(&file) else { continue };
        let first = own["valid"][0]["value"].clone();
        let least = only_required(&schema, first);
        if least.is_object() {
            assert!(vectors::accepts(name, &least), "{name}: {least}");
        }
    }
}

#[test]
fn b7_no_change_since_the_baseline_is_breaking() {
    let now = cofferdam_contract::schemas();
    let own = now.into_iter().filter(|(name, _)| !name.contains('/')).collect();
    let breaking: Vec<_> = compatibility::schemas(&baseline(), &own)
        .into_iter()
        .filter(|change| change.verdict == compatibility::Verdict::Breaking)
        .collect();
    assert!(breaking.is_empty(), "{breaking:#?}");
}

#[test]
fn b7_a_plane_of_today_skips_what_a_later_kernel_adds() {
    let descriptor = cofferdam_bridge::descriptor::PlaneDescriptor::new("old", "1");
    let mut plane = PlaneSession::new(descriptor, Vec::new(), &[Encoding::Json], Bounds::default());
    let hello = r#"{"jsonrpc":"2.0","id":1,"later":0,"method":"session.hello","params":{"protocol_versions":[1,2],"contract_generation":1,
        "kernel":{"name":"later","version":"9","build":7},"encodings":["later","json"],"features":["later"],
        "bounds":{"max_frame_bytes":4194304,"max_pending_calls":64,"later":1},"later":{}}}"#;
    assert!(matches!(plane.receive(Ok(data(hello))), Ok(FromKernel::Greeted { encoding: Encoding::Json, .. })));
    let told = r#"{"jsonrpc":"2.0","method":"session.later","params":{"x":1}}"#;
    assert_eq!(plane.receive(Ok(data(told))), Ok(FromKernel::Nothing));
    let asked = plane.receive(Ok(data(r#"{"jsonrpc":"2.0","id":2,"method":"plane.later","params":{}}"#))).unwrap_err();
    assert_eq!((asked.fault.as_str(), asked.ended), ("unknown_method", false));
    let ping = plane.receive(Ok(data(r#"{"jsonrpc":"2.0","id":3,"method":"session.ping"}"#)));
    assert!(matches!(ping, Ok(FromKernel::Answer(_))));
}

#[test]
fn b7_a_kernel_of_today_skips_what_a_later_plane_adds() {
    let mut kernel = KernelSession::new(&[Encoding::Json], Bounds::default());
    kernel.greet().unwrap();
    let welcome = r#"{"jsonrpc":"2.0","id":1,"later":0,"result":{"protocol_version":1,"encoding":"json","later":1,"descriptor":{"name":"later",
        "version":"9","contract_generation":1,"tiers":["none","later"],"features":["commands","later"],"limits":["wall","later"],"later":1}}}"#;
    let Ok(FromPlane::Welcomed(welcome, _)) = kernel.receive(data(welcome)) else { panic!("no welcome") };
    assert_eq!(welcome.descriptor.features, [Feature::Commands]);
    kernel.expect_execution(ExecutionId::new("e"), 1000);
    for event in [r#"{"event":"later"}"#, r#"{"event":"continued","later":1}"#] {
        let text = format!(
            r#"{{"jsonrpc":"2.0","method":"{}","params":{{"execution_id":"e","event":{event}}}}}"#,
            method::EVENT
        );
        assert!(kernel.receive(data(&text)).is_ok(), "{event}");
    }
    assert_eq!(kernel.receive(data(r#"{"jsonrpc":"2.0","method":"plane.later"}"#)), Ok(FromPlane::Nothing));
    let (id, _) = kernel.call(method::PREFLIGHT, Data::Null).unwrap();
    let answer = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32000,"message":"m","data":{{"code":"later","category":"later","retryable":false,"message":"m"}}}}}}"#
    );
    let Ok(FromPlane::Reply { outcome: Err(error), .. }) = kernel.receive(data(&answer)) else { panic!("no reply") };
    assert_eq!(error.code, ErrorCode::PlaneFault);
}
