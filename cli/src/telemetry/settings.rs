//! What the environment says about telemetry, by the variables that OpenTelemetry defines for all programs
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>,
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>). Those not named here its libraries read themselves.

use std::time::Duration;

/// How long one request may take where nothing is said, as the specification has it.
const USUAL_TIMEOUT: Duration = Duration::from_secs(10);

/// What is sent, and how long a request may take.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settings {
    /// Whether traces are, and the time for a request of them.
    pub(super) traces: Option<Duration>,
    /// Whether metrics are, and the time for a request of them.
    pub(super) metrics: Option<Duration>,
}

impl Settings {
    /// The settings by `variable`; `None` where nothing is to be sent.
    ///
    /// # Errors
    /// A sentence that names the variable which asks for something that this command does not have. It holds no value of one that may be
    /// a secret.
    pub(super) fn of(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        let value = |name: &str| variable(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        if value("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let settings = Self { traces: signal("TRACES", &value)?, metrics: signal("METRICS", &value)? };
        Ok((settings.traces.is_some() || settings.metrics.is_some()).then_some(settings))
    }
}

/// The time for a request of one signal; `None` where it is not sent.
fn signal(signal: &str, value: &impl Fn(&str) -> Option<String>) -> Result<Option<Duration>, String> {
    let exporter = format!("OTEL_{signal}_EXPORTER");
    // The signal's own variable beats the one for all.
    let either = |what: &str| {
        [format!("OTEL_EXPORTER_OTLP_{signal}_{what}"), format!("OTEL_EXPORTER_OTLP_{what}")]
            .into_iter()
            .find_map(|name| value(&name).map(|text| (name, text)))
    };
    match value(&exporter).as_deref() {
        Some("none") => return Ok(None),
        Some(list) if list.split(',').any(|one| one.trim() == "otlp") => {}
        Some(_) => return Err(format!("{exporter} names no exporter that this command has: `otlp` or `none`")),
        None if either("ENDPOINT").is_none() => return Ok(None),
        None => {}
    }
    match either("PROTOCOL") {
        Some((name, text)) if text != "http/protobuf" => {
            return Err(format!(
                "{name} asks for another protocol than `http/protobuf`, which is what this command speaks"
            ));
        }
        _ => {}
    }
    match either("COMPRESSION") {
        Some((name, text)) if text != "none" => {
            return Err(format!("{name} asks for compression, and this command sends without"));
        }
        _ => {}
    }
    match either("TIMEOUT") {
        None => Ok(Some(USUAL_TIMEOUT)),
        Some((name, text)) => match text.parse() {
            Ok(0) | Err(_) => Err(format!("{name} is no number of milliseconds above 0")),
            Ok(time) => Ok(Some(Duration::from_millis(time))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Option<Settings>, String> {
        Settings::of(|name| variables.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned()))
    }

    const PLACE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
    const TRACES: (&str, &str) = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://localhost:4318/v1/traces");

    #[test]
    fn nothing_is_sent_that_is_not_configured() {
        for variables in [
            &[][..],
            &[("OTEL_SERVICE_NAME", "x"), ("OTEL_EXPORTER_OTLP_HEADERS", "a=b")],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")],
            &[PLACE, ("OTEL_SDK_DISABLED", "TRUE")],
            &[PLACE, ("OTEL_TRACES_EXPORTER", "none"), ("OTEL_METRICS_EXPORTER", "none")],
        ] {
            assert_eq!(of(variables), Ok(None), "{variables:?}");
        }
    }

    #[test]
    fn signals_are_configured_together_or_each_by_itself() {
        let usual = Some(USUAL_TIMEOUT);
        let both = Settings { traces: usual, metrics: usual };
        assert_eq!(of(&[PLACE, ("OTEL_SDK_DISABLED", "false")]), Ok(Some(both)));
        let traces = Settings { traces: usual, metrics: None };
        assert_eq!(of(&[TRACES]), Ok(Some(traces)));
        let metrics = Settings { traces: None, metrics: Some(Duration::from_millis(7)) };
        let times = [("OTEL_EXPORTER_OTLP_TIMEOUT", "5"), ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "7")];
        assert_eq!(of(&[("OTEL_METRICS_EXPORTER", "otlp"), times[0], times[1]]), Ok(Some(metrics)));
    }

    #[test]
    fn what_this_command_cannot_do_is_told_by_its_variable_and_not_by_its_value() {
        for variable in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "0"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
        ] {
            let told = of(&[PLACE, variable]).unwrap_err();
            assert!(told.contains(variable.0) && !told.contains(variable.1) || variable.1 == "0", "{told}");
        }
    }
}
