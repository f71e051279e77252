//! Figures of the machine, from proc(5), for the records of runs.

use cofferdam_bridge::audit::FigureSource;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Reads load, available memory and its pressure. The files are opened once and stay so, for proc(5) tells anew at each read from the start.
#[derive(Debug)]
pub struct HostFigures {
    load: Option<File>,
    memory: Option<File>,
    pressure: Option<File>,
}

impl Default for HostFigures {
    fn default() -> Self {
        Self::new()
    }
}

impl HostFigures {
    /// Whatever of these files there is here.
    pub fn new() -> Self {
        let open = |path| File::open(path).ok();
        Self { load: open("/proc/loadavg"), memory: open("/proc/meminfo"), pressure: open("/proc/pressure/memory") }
    }
}

impl FigureSource for HostFigures {
    fn figures(&self) -> BTreeMap<String, u64> {
        let mut figures = BTreeMap::new();
        let mut tell = |name: &str, figure: Option<u64>| {
            if let Some(figure) = figure {
                figures.insert(name.to_owned(), figure);
            }
        };
        let load = text(self.load.as_ref());
        tell("load_1m_percent", load.split(' ').next().and_then(hundredths));
        let memory = text(self.memory.as_ref());
        let available = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
        let kibibytes = available.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
        tell("memory_available_bytes", kibibytes.map(|number| number.saturating_mul(1024)));
        let pressure = text(self.pressure.as_ref());
        let average = pressure.split_whitespace().find_map(|word| word.strip_prefix("avg10="));
        tell("memory_pressure_10s_hundredths_percent", average.and_then(hundredths));
        figures
    }
}

/// The beginning of a file of proc(5); what is looked for stands there.
fn text(file: Option<&File>) -> String {
    let mut bytes = [0; 512];
    let count = file.and_then(|file| file.read_at(&mut bytes, 0).ok()).unwrap_or(0);
    String::from_utf8_lossy(bytes.get(..count).unwrap_or_default()).into_owned()
}

/// `1.25` as 125.
fn hundredths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.')?;
    let (whole, part): (u64, u64) = (whole.parse().ok()?, part.get(..2)?.parse().ok()?);
    whole.checked_mul(100)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_tells_something_of_itself() {
        let figures = HostFigures::new().figures();
        assert!(figures["memory_available_bytes"] > 0, "{figures:?}");
        assert_eq!(hundredths("1.25"), Some(125));
        assert_eq!(hundredths("x"), None);
    }
}
