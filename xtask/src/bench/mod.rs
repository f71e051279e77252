//! Benchmarks: each compares with a peer or a limit in the same run, interleaved, and tells ratios of medians with their spread, on the
//! terminal and in `target/bench` as Markdown and JSON.

mod audit;
mod calls;
mod decide;
mod embedded;
mod idle;
mod network;
mod network_https;
mod network_peers;
mod oneshot;
mod peers;
mod rounds;
mod session;
mod start;
mod steady;
mod table;
mod throughput;
mod wire;

/// A benchmark: its name, how many rounds it has unless told, and what it does with them.
type Benchmark = (&'static str, usize, fn(usize) -> Result<(), String>);

const ALL: [Benchmark; 13] = [
    ("start", 300, start::run),
    ("audit", 200, audit::run),
    ("embedded", 200, embedded::run),
    ("throughput", 7, throughput::run),
    ("idle", 1, idle::run),
    ("crowd", 100, embedded::crowd),
    ("steady", 15, steady::run),
    ("calls", 2000, calls::run),
    ("network", 7, network::run),
    ("decide", 201, decide::run),
    ("oneshot", 100, oneshot::run),
    ("session", 200, session::run),
    ("wire", 10_000, wire::run),
];

/// Runs the benchmark that is named, or all.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let given = arguments.iter().skip_while(|one| *one != "--rounds").nth(1).and_then(|text| text.parse().ok());
    let name = arguments.first().map(String::as_str).filter(|name| !name.starts_with("--"));
    let mut chosen = ALL.iter().filter(|(own, ..)| name.is_none_or(|name| name == *own)).peekable();
    if chosen.peek().is_none() {
        let names: Vec<&str> = ALL.iter().map(|(own, ..)| *own).collect();
        return Err(format!("there are the benchmarks {}; each takes [--rounds N]", names.join(", ")));
    }
    chosen.try_for_each(|(_, otherwise, benchmark)| benchmark(given.unwrap_or(*otherwise)))
}
