//! Figures for whoever watches a kernel: what is measured, and whom it is told.
//!
//! A host implements [`MetricSink`] for the library it keeps metrics with; the kernel records to it and keeps nothing itself. Nothing that is
//! told holds arguments, environment values, input, output, paths or hosts.

/// What an instrument's numbers mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InstrumentKind {
    /// A sum that only grows, told by [`MetricSink::add`].
    Counter,
    /// A sum that grows and shrinks, told by [`MetricSink::add`].
    UpDownCounter,
    /// Single values whose distribution counts, told by [`MetricSink::observe`].
    Histogram,
}

/// Something that is measured, by the conventions of OpenTelemetry
/// (<https://opentelemetry.io/docs/specs/semconv/general/metrics/>).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Instrument {
    /// Its name: lower case, with dots between name spaces.
    pub name: &'static str,
    /// What its numbers mean.
    pub kind: InstrumentKind,
    /// The unit, as UCUM writes it: `s`, or what is counted in braces.
    pub unit: &'static str,
    /// One sentence for people.
    pub description: &'static str,
    /// Of a histogram, where its buckets end, in its unit; empty for all else.
    pub boundaries: &'static [f64],
}

impl Instrument {
    /// A sum that only grows.
    pub const fn counter(name: &'static str, unit: &'static str, description: &'static str) -> Self {
        Self { name, kind: InstrumentKind::Counter, unit, description, boundaries: &[] }
    }

    /// A sum that grows and shrinks.
    pub const fn up_down_counter(name: &'static str, unit: &'static str, description: &'static str) -> Self {
        Self { name, kind: InstrumentKind::UpDownCounter, unit, description, boundaries: &[] }
    }

    /// A distribution of times in seconds, in buckets from half a millisecond to an hour.
    pub const fn seconds(name: &'static str, description: &'static str) -> Self {
        Self { name, kind: InstrumentKind::Histogram, unit: "s", description, boundaries: &SECONDS }
    }
}

/// Ends of buckets for times, in seconds: starts take milliseconds, runs may take hours.
const SECONDS: [f64; 18] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 300.0, 900.0, 3600.0];

/// What a number was measured of: names with their values, both from small sets.
pub type Attributes<'a> = &'a [(&'static str, &'a str)];

/// Takes figures as they arise. It is called where things happen and so must neither block nor fail: what it cannot keep it drops.
pub trait MetricSink: Send + Sync {
    /// Adds `amount` to a sum; never less than nothing to one that only grows.
    fn add(&self, instrument: &'static Instrument, amount: i64, attributes: Attributes<'_>);

    /// Takes one value of a distribution, in the instrument's unit.
    fn observe(&self, instrument: &'static Instrument, value: f64, attributes: Attributes<'_>);
}
