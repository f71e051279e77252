//! Between the bridge's types and data on the wire.
//!
//! Bytes stand on the wire as bytes: `bytes` of output, input and snapshots, `contents` of files, `module` of guests, and the
//! results of reads and of random bytes. Everything else is as its JSON Schema says.

use super::data::Data;
use super::fault::WireFault;
use cofferdam_bridge::descriptor::{PlaneDescriptor, Preflight};
use cofferdam_bridge::event::ExecutionEvent;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The kinds of events of this release. Others come from later ones and are skipped.
pub const EVENT_KINDS: [&str; 7] = ["stdout", "stderr", "stopped", "continued", "violation", "guest_request", "exited"];

/// A value as data, by its JSON form.
pub fn to_data<T: Serialize>(value: &T) -> Data {
    // Every type of the bridge has a JSON form.
    serde_json::to_value(value).map_or(Data::Null, Data::from)
}

/// A value out of data, by its JSON form.
///
/// # Errors
/// `invalid_params`.
pub fn from_data<T: DeserializeOwned>(data: Data) -> Result<T, WireFault> {
    serde_json::from_value(data.into_json()).map_err(|_| WireFault::InvalidParams)
}

/// The required field `name`, as a `T`.
///
/// # Errors
/// `invalid_params`.
pub fn field<T: DeserializeOwned>(params: &mut Data, name: &str) -> Result<T, WireFault> {
    from_data(params.take(name).ok_or(WireFault::InvalidParams)?)
}

/// A request with a field `name` of bytes, as data.
pub fn with_bytes<T: Serialize>(value: &T, name: &str, bytes: Vec<u8>) -> Data {
    let mut data = to_data(value);
    if let Some(place) = data.get_mut(name) {
        *place = Data::Bytes(bytes);
    }
    data
}

/// Takes the bytes of the field `name` out and leaves none there, so that the rest can be read by its JSON form.
///
/// # Errors
/// `invalid_params`.
pub fn take_bytes(data: &mut Data, name: &str) -> Result<Vec<u8>, WireFault> {
    let place = data.get_mut(name).ok_or(WireFault::InvalidParams)?;
    std::mem::replace(place, Data::List(Vec::new())).into_bytes().ok_or(WireFault::InvalidParams)
}

/// An event as data.
pub fn event_to_data(event: ExecutionEvent) -> Data {
    let output = |kind: &str, bytes| Data::map([("event", Data::text(kind)), ("bytes", Data::Bytes(bytes))]);
    match event {
        ExecutionEvent::Stdout { bytes } => output("stdout", bytes),
        ExecutionEvent::Stderr { bytes } => output("stderr", bytes),
        other => to_data(&other),
    }
}

/// An event out of data; none for a kind that a later release may have added.
///
/// # Errors
/// `invalid_params`.
pub fn event_from_data(mut data: Data) -> Result<Option<ExecutionEvent>, WireFault> {
    let Some(Data::Text(kind)) = data.get("event") else { return Err(WireFault::InvalidParams) };
    match kind.as_str() {
        "stdout" => Ok(Some(ExecutionEvent::Stdout { bytes: take_bytes(&mut data, "bytes")? })),
        "stderr" => Ok(Some(ExecutionEvent::Stderr { bytes: take_bytes(&mut data, "bytes")? })),
        known if EVENT_KINDS.contains(&known) => {
            if let Some(enforcement) = data.get_mut("enforcement") {
                keep_known_mechanisms(enforcement);
            }
            from_data(data).map(Some)
        }
        _ => Ok(None),
    }
}

/// A preflight's answer out of data. A mechanism of a later release is skipped where it is reported; a shortfall always counts.
///
/// # Errors
/// `invalid_params`.
pub fn preflight_from_data(mut data: Data) -> Result<Preflight, WireFault> {
    if let Some(enforcement) = data.get_mut("enforcement") {
        keep_known_mechanisms(enforcement);
    }
    if let Some(Data::List(shortfalls)) = data.get_mut("shortfalls") {
        for mechanism in shortfalls.iter_mut().filter_map(|shortfall| shortfall.get_mut("mechanism")) {
            if from_data::<cofferdam_bridge::enforcement::Mechanism>(mechanism.clone()).is_err() {
                *mechanism = Data::Null;
            }
        }
    }
    from_data(data)
}

/// What a later plane says of itself that this release does not know is skipped: it will not be asked for it.
pub fn known_descriptor(mut data: Data) -> Data {
    if let Some(descriptor) = data.get_mut("descriptor") {
        keep::<cofferdam_bridge::enforcement::Tier>(descriptor, "tiers");
        keep::<cofferdam_bridge::descriptor::Feature>(descriptor, "features");
        keep::<cofferdam_bridge::limits::LimitName>(descriptor, "limits");
    }
    data
}

/// A descriptor as it is told to a kernel by a process: standard streams of the kernel's process cannot be handed through, and events
/// are always sent.
pub fn descriptor_on_the_wire(mut descriptor: PlaneDescriptor) -> PlaneDescriptor {
    use cofferdam_bridge::descriptor::Feature;
    descriptor.features.retain(|feature| !matches!(feature, Feature::InheritedStreams | Feature::PolledEvents));
    descriptor
}

fn keep_known_mechanisms(enforcement: &mut Data) {
    keep::<cofferdam_bridge::enforcement::MechanismReport>(enforcement, "mechanisms");
}

fn keep<T: DeserializeOwned>(data: &mut Data, name: &str) {
    if let Some(Data::List(values)) = data.get_mut(name) {
        values.retain(|value| {
            let json: Value = value.clone().into_json();
            serde_json::from_value::<T>(json).is_ok()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_bridge::enforcement::{Enforcement, Tier};
    use cofferdam_bridge::event::ExecutionReport;
    use cofferdam_bridge::exit_cause::ExitCause;
    use cofferdam_bridge::ids::CallId;
    use cofferdam_bridge::usage::Usage;
    use cofferdam_bridge::verdict::Denial;

    #[test]
    fn every_kind_of_event_survives_and_is_listed() {
        let cause = ExitCause::Exited { code: 3 };
        let report = ExecutionReport::new(cause, Usage::default(), Enforcement::new(Tier::None));
        let events = [
            ExecutionEvent::Stdout { bytes: vec![0, 255] },
            ExecutionEvent::Stderr { bytes: vec![1] },
            ExecutionEvent::Stopped { signal: 20 },
            ExecutionEvent::Continued,
            ExecutionEvent::Violation { denial: Box::new(Denial::new("a", "b")) },
            ExecutionEvent::GuestRequest { call_id: CallId::new("1"), operation: "x".into(), payload: Value::Null },
            ExecutionEvent::Exited(Box::new(report)),
        ];
        assert_eq!(events.len(), EVENT_KINDS.len());
        for (event, kind) in events.into_iter().zip(EVENT_KINDS) {
            let data = event_to_data(event.clone());
            assert_eq!(data.get("event").and_then(Data::as_text), Some(kind));
            assert_eq!(event_from_data(data), Ok(Some(event)));
        }
    }

    #[test]
    fn an_event_of_a_later_release_is_skipped_and_a_broken_one_is_not() {
        let later = Data::map([("event", Data::text("of_the_future"))]);
        assert_eq!(event_from_data(later), Ok(None));
        let broken = Data::map([("event", Data::text("stopped"))]);
        assert_eq!(event_from_data(broken), Err(WireFault::InvalidParams));
    }

    #[test]
    fn a_shortfall_of_an_unknown_mechanism_still_blocks() {
        let text = r#"{"enforcement":{"tier":"none","mechanisms":[{"mechanism":"of_the_future","asked":true,"held":true}]},
            "shortfalls":[{"mechanism":"of_the_future","message":"m","blocking":true}]}"#;
        let preflight = preflight_from_data(super::super::json::decode(text.as_bytes(), 8).unwrap()).unwrap();
        assert!(!preflight.accepted());
        assert!(preflight.enforcement.mechanisms.is_empty());
    }
}
