//! What a host lets be started.

use std::time::Duration;

/// When a kernel starts nothing more, and how many it runs at once.
///
/// The defaults are those of a command that runs one program and ends: arguments are bounded, and nothing else, so that a busy machine makes
/// nothing fail that would only be slow. [`for_service`](Self::for_service) has those of a host that runs what many ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardLimits {
    pub(crate) argument_bytes: u64,
    pub(crate) cpu_percent: Option<u64>,
    pub(crate) memory_percent: Option<u64>,
    pub(crate) cpu_pressure_percent: Option<u64>,
    pub(crate) memory_pressure_percent: Option<u64>,
    pub(crate) io_pressure_percent: Option<u64>,
    pub(crate) zombies: Option<u64>,
    pub(crate) log_bytes_free: Option<u64>,
    pub(crate) running: usize,
    pub(crate) running_of_a_vm: usize,
    pub(crate) waiting: usize,
    pub(crate) longest_wait: Duration,
}

impl Default for GuardLimits {
    fn default() -> Self {
        Self {
            argument_bytes: 1 << 20,
            cpu_percent: None,
            memory_percent: None,
            cpu_pressure_percent: None,
            memory_pressure_percent: None,
            io_pressure_percent: None,
            zombies: None,
            log_bytes_free: None,
            running: usize::MAX,
            running_of_a_vm: usize::MAX,
            waiting: usize::MAX,
            longest_wait: Duration::from_secs(30),
        }
    }
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $field:ident as $kind:ty => $value:expr;)*) => { $(
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $field: $kind) -> Self {
            self.$field = $value;
            self
        }
    )* };
}

impl GuardLimits {
    /// Those of a host that runs what many ask for: above 80 % of processor time or memory, or 40 % of memory pressure, or more than 10 zombies
    /// of its own, or with less than 64 MiB left for the log, nothing more is started; 256 run at once, 64 of one VM, and 1,024 wait for at
    /// most 30 seconds.
    pub fn for_service() -> Self {
        Self {
            cpu_percent: Some(80),
            memory_percent: Some(80),
            memory_pressure_percent: Some(40),
            zombies: Some(10),
            log_bytes_free: Some(64 << 20),
            running: 256,
            running_of_a_vm: 64,
            waiting: 1024,
            ..Self::default()
        }
    }

    setters! {
        /// Bytes that a program's name and its arguments may have together; 1 MiB unless set.
        most_argument_bytes: argument_bytes as u64 => argument_bytes;
        /// Percent of processor time, measured between two looks.
        most_cpu_percent: cpu_percent as u64 => Some(cpu_percent);
        /// Percent of memory.
        most_memory_percent: memory_percent as u64 => Some(memory_percent);
        /// Percent of time in which somebody waited for a processor.
        most_cpu_pressure_percent: cpu_pressure_percent as u64 => Some(cpu_pressure_percent);
        /// Percent of time in which somebody waited for memory.
        most_memory_pressure_percent: memory_pressure_percent as u64 => Some(memory_pressure_percent);
        /// Percent of time in which somebody waited for reading or writing.
        most_io_pressure_percent: io_pressure_percent as u64 => Some(io_pressure_percent);
        /// Children of the host's process that have ended and were not waited for.
        most_zombies: zombies as u64 => Some(zombies);
        /// Bytes that must be free where the log is written.
        least_log_bytes_free: log_bytes_free as u64 => Some(log_bytes_free);
        /// Runs at once; at least one.
        most_running: running as usize => running.max(1);
        /// Runs of one VM at once; at least one.
        most_running_of_a_vm: running_of_a_vm as usize => running_of_a_vm.max(1);
        /// Runs that wait for their turn.
        most_waiting: waiting as usize => waiting;
        /// How long one waits for its turn.
        longest_wait: longest_wait as Duration => longest_wait;
    }
}
