//! A sink that keeps what it is told, to be looked at.

use super::lock;
use crate::metric::{Attributes, Instrument, MetricSink};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// An instrument's name and the attributes of one of its series, as `name{key=value,…}`.
type Series = String;

/// Keeps sums and values in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryMetrics {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    sums: BTreeMap<Series, Sum>,
    values: BTreeMap<Series, Vec<f64>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    now: i64,
    most: i64,
}

impl MemoryMetrics {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The sum of a series now, such as `cofferdam.decisions{cofferdam.verdict=deny}`; zero where nothing was added.
    pub fn sum(&self, series: &str) -> i64 {
        lock(&self.kept).sums.get(series).map_or(0, |sum| sum.now)
    }

    /// The highest that the sum of a series has been.
    pub fn most(&self, series: &str) -> i64 {
        lock(&self.kept).sums.get(series).map_or(0, |sum| sum.most)
    }

    /// The values of a series, in the order in which they came.
    pub fn values(&self, series: &str) -> Vec<f64> {
        lock(&self.kept).values.get(series).cloned().unwrap_or_default()
    }

    /// All series that anything was told of.
    pub fn series(&self) -> Vec<String> {
        let kept = lock(&self.kept);
        kept.sums.keys().chain(kept.values.keys()).cloned().collect()
    }
}

fn series(instrument: &Instrument, attributes: Attributes<'_>) -> Series {
    let pairs: Vec<String> = attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if pairs.is_empty() { instrument.name.to_owned() } else { format!("{}{{{}}}", instrument.name, pairs.join(",")) }
}

impl MetricSink for MemoryMetrics {
    fn add(&self, instrument: &'static Instrument, amount: i64, attributes: Attributes<'_>) {
        let mut kept = lock(&self.kept);
        let sum = kept.sums.entry(series(instrument, attributes)).or_default();
        sum.now += amount;
        sum.most = sum.most.max(sum.now);
    }

    fn observe(&self, instrument: &'static Instrument, value: f64, attributes: Attributes<'_>) {
        lock(&self.kept).values.entry(series(instrument, attributes)).or_default().push(value);
    }
}
