//! Counts of what went over the network, and what was refused.

use cofferdam_bridge::host_traffic::HostTraffic;
use cofferdam_bridge::verdict::Denial;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// As many hosts as a report lists, beside the one for all others.
const MOST_HOSTS: usize = 255;
/// How all hosts beyond that are told together, on port 0: no host has that name.
const OTHERS: &str = "*";
/// As many refusals as are told.
const MOST_DENIALS: usize = 64;

/// The counts of one port of one host.
#[derive(Debug, Default)]
pub struct Meter {
    connections: AtomicU64,
    failed: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Meter {
    /// A connection is carried.
    pub fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection came to nothing.
    pub fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes went to the host.
    pub fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes came from the host.
    pub fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Whether a connection was carried since it was last taken.
    #[cfg(feature = "https")]
    pub(super) fn has_connected(&self) -> bool {
        self.connections.load(Ordering::Relaxed) > 0
    }

    /// What was counted since it was last taken.
    pub fn take(&self) -> Counts {
        let read = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        Counts {
            connections: read(&self.connections),
            failed: read(&self.failed),
            sent_bytes: read(&self.sent),
            received_bytes: read(&self.received),
        }
    }
}

/// What a meter counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Connections that were carried.
    pub connections: u64,
    /// Those that came to nothing.
    pub failed: u64,
    /// Bytes from the run.
    pub sent_bytes: u64,
    /// Bytes to the run.
    pub received_bytes: u64,
}

/// All counts and refusals of one run.
#[derive(Debug, Default)]
pub struct Traffic {
    /// By host and port, and whether by datagrams.
    meters: BTreeMap<(String, u16, bool), Arc<Meter>>,
    rest: Arc<Meter>,
    denials: Vec<Denial>,
}

impl Traffic {
    /// The meter of `port` of `host`. Past so many hosts, one with which nothing came to be gives way; where there is none such, all
    /// others share one.
    pub fn meter(&mut self, host: &str, port: u16) -> Arc<Meter> {
        self.meter_of((host.to_owned(), port, false))
    }

    /// The same of datagrams, whose flows are counted as connections.
    pub fn datagram_meter(&mut self, host: &str, port: u16) -> Arc<Meter> {
        self.meter_of((host.to_owned(), port, true))
    }

    fn meter_of(&mut self, key: (String, u16, bool)) -> Arc<Meter> {
        if !self.meters.contains_key(&key) && self.meters.len() >= MOST_HOSTS && !self.make_room() {
            return self.rest.clone();
        }
        self.meters.entry(key).or_default().clone()
    }

    /// Lets a host go to which nothing was carried, so that attempts hide nothing that was.
    fn make_room(&mut self) -> bool {
        let idle = |meter: &Arc<Meter>| Arc::strong_count(meter) == 1 && meter.connections.load(Ordering::Relaxed) == 0;
        let Some(key) = self.meters.iter().find(|(_, meter)| idle(meter)).map(|(key, _)| key.clone()) else {
            return false;
        };
        let failed = self.meters.remove(&key).map_or(0, |meter| meter.failed.load(Ordering::Relaxed));
        self.rest.failed.fetch_add(failed, Ordering::Relaxed);
        true
    }

    /// Whether a refusal would be told that is not yet.
    pub fn is_new(&self, denial: &Denial) -> bool {
        let same = |known: &Denial| known.access == denial.access && known.subject == denial.subject;
        self.denials.len() < MOST_DENIALS && !self.denials.iter().any(same)
    }

    /// Notes a refusal; one that is known is counted.
    pub fn refused(&mut self, denial: Denial) {
        let same = |known: &&mut Denial| known.access == denial.access && known.subject == denial.subject;
        if let Some(known) = self.denials.iter_mut().find(same) {
            known.times = Some(known.times.unwrap_or(1) + 1);
        } else if self.denials.len() < MOST_DENIALS {
            self.denials.push(denial);
        }
    }

    /// What has happened since it was last taken.
    pub fn take(&mut self) -> (Vec<HostTraffic>, Vec<Denial>) {
        let rest = ((OTHERS.to_owned(), 0, false), self.rest.clone());
        let told = self.meters.iter().map(|(key, meter)| (key.clone(), meter.clone())).chain([rest]);
        let told = told.map(|((host, port, datagrams), meter)| {
            let mut traffic = HostTraffic::new(host, port);
            traffic.datagrams = datagrams;
            let counts = meter.take();
            (traffic.connections, traffic.failed) = (counts.connections, counts.failed);
            (traffic.sent_bytes, traffic.received_bytes) = (counts.sent_bytes, counts.received_bytes);
            traffic
        });
        let happened = |one: &HostTraffic| one.connections + one.failed + one.sent_bytes + one.received_bytes > 0;
        let told = told.filter(happened).collect();
        // What is over has been told: the room is for what comes.
        self.meters.retain(|_, meter| Arc::strong_count(meter) > 1);
        (told, std::mem::take(&mut self.denials))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(traffic: &mut Traffic, host: &str) -> Option<HostTraffic> {
        traffic.take().0.into_iter().find(|one| one.host == host)
    }

    #[test]
    fn attempts_on_many_hosts_hide_nothing_that_was_carried() {
        let mut traffic = Traffic::default();
        for number in 0..MOST_HOSTS + 50 {
            traffic.meter(&format!("tried-{number}"), 443).failed();
        }
        let meter = traffic.meter("real", 443);
        meter.connected();
        meter.sent(5);
        drop(meter);
        let all = traffic.take().0;
        let real = all.iter().find(|one| one.host == "real").unwrap();
        assert_eq!((real.connections, real.sent_bytes), (1, 5));
        assert_eq!(all.iter().map(|one| one.failed).sum::<u64>(), (MOST_HOSTS + 50) as u64);
    }

    #[test]
    fn what_there_is_no_room_for_is_told_together() {
        let mut traffic = Traffic::default();
        for number in 0..=MOST_HOSTS {
            traffic.meter(&format!("n{number}.below"), 443).connected();
        }
        let last = traffic.meter("last", 443);
        last.connected();
        last.sent(7);
        let others = told(&mut traffic, OTHERS).unwrap();
        assert_eq!((others.port, others.connections, others.sent_bytes), (0, 2, 7));
        // Another run of the same network begins with all of the room.
        traffic.meter("next", 443).connected();
        assert_eq!(told(&mut traffic, "next").unwrap().connections, 1);
    }
}
