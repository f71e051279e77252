//! The kernel's figures, as instruments of OpenTelemetry.

use cofferdam_bridge::metric::{Attributes, Instrument, InstrumentKind, MetricSink};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, UpDownCounter};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Makes each instrument when it is first told of.
pub(super) struct Figures {
    meter: Meter,
    made: Mutex<HashMap<&'static str, Made>>,
}

#[derive(Clone)]
enum Made {
    Counter(Counter<u64>),
    UpDownCounter(UpDownCounter<i64>),
    Histogram(Histogram<f64>),
}

impl Figures {
    pub(super) fn new(meter: Meter) -> Self {
        Self { meter, made: Mutex::default() }
    }

    fn made(&self, instrument: &'static Instrument) -> Made {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.entry(instrument.name).or_insert_with(|| self.make(instrument)).clone()
    }

    fn make(&self, instrument: &'static Instrument) -> Made {
        let (name, unit, description) = (instrument.name, instrument.unit, instrument.description);
        match instrument.kind {
            InstrumentKind::Counter => {
                Made::Counter(self.meter.u64_counter(name).with_unit(unit).with_description(description).build())
            }
            InstrumentKind::Histogram => {
                let builder = self.meter.f64_histogram(name).with_unit(unit).with_description(description);
                Made::Histogram(builder.with_boundaries(instrument.boundaries.to_vec()).build())
            }
            // Of a kind that is not known yet, a sum is the least that can be said.
            _ => Made::UpDownCounter(
                self.meter.i64_up_down_counter(name).with_unit(unit).with_description(description).build(),
            ),
        }
    }
}

fn pairs(attributes: Attributes<'_>) -> Vec<KeyValue> {
    attributes.iter().map(|(name, value)| KeyValue::new(*name, (*value).to_owned())).collect()
}

impl MetricSink for Figures {
    fn add(&self, instrument: &'static Instrument, amount: i64, attributes: Attributes<'_>) {
        match self.made(instrument) {
            Made::Counter(counter) => counter.add(u64::try_from(amount).unwrap_or(0), &pairs(attributes)),
            Made::UpDownCounter(counter) => counter.add(amount, &pairs(attributes)),
            Made::Histogram(_) => {}
        }
    }

    fn observe(&self, instrument: &'static Instrument, value: f64, attributes: Attributes<'_>) {
        if let Made::Histogram(histogram) = self.made(instrument) {
            histogram.record(value, &pairs(attributes));
        }
    }
}
