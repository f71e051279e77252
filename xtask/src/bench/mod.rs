//! Benchmarks: each compares with a peer or a limit in the same run, interleaved, and tells ratios of medians.

mod calls;
mod host;
mod start;
mod steady;

/// Runs the benchmark that is named.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let rounds = |otherwise: usize| {
        let given = arguments.iter().skip_while(|one| *one != "--rounds").nth(1);
        given.and_then(|text| text.parse().ok()).unwrap_or(otherwise)
    };
    match arguments.first().map(String::as_str) {
        Some("start") => start::run(rounds(300)),
        Some("host") => host::run(rounds(200)),
        Some("calls") => calls::run(rounds(2000)),
        Some("steady") => steady::run(rounds(15)),
        _ => {
            Err("there are `cargo xtask bench start`, `host`, `calls` and `steady`, each with [--rounds N]".to_owned())
        }
    }
}
