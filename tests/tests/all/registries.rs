//! Package managers against the registries that this machine is set up for, with just those names allowed. Where none is configured or
//! none answers, the test says so: which hosts they are is this machine's affair, and stands in no file of ours.

use cofferdam_tests::attack::Tier;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::collections::BTreeSet;
use std::net::ToSocketAddrs;
use std::process::{Command, Output};

/// How long a registry may take outside before it counts as not reachable.
const PATIENCE: &str = "60";

/// Where package managers of the system look for their configuration, which no policy shows by itself.
const CONFIGURATION: [&str; 1] = ["/etc/apt"];

/// The standard output of a command, if it succeeds.
fn told(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Host and port of each URL in `text`.
fn hosts(text: &str) -> BTreeSet<(String, u16)> {
    let urls = text.split(|letter: char| letter.is_whitespace() || "\"',|=".contains(letter));
    let urls = urls.filter_map(|word| word.split_once("://"));
    let places = urls.filter_map(|(scheme, rest)| match scheme.trim_start_matches("sparse+") {
        "https" => Some((rest, 443)),
        "http" => Some((rest, 80)),
        _ => None,
    });
    places
        .filter_map(|(rest, usual)| {
            let place = rest.split(['/', '?', '#']).next()?.rsplit('@').next()?;
            let (host, port) =
                place.split_once(':').map_or((place, usual), |(host, port)| (host, port.parse().unwrap_or(usual)));
            (!host.is_empty()).then(|| (host.to_owned(), port))
        })
        .collect()
}

/// Options that allow `hosts`, and where they lead: a mirror may be in a network of the machine's own.
fn allowing(hosts: &BTreeSet<(String, u16)>) -> Vec<String> {
    let of = |(host, port): &(String, u16)| {
        let addresses = (host.as_str(), *port).to_socket_addrs().into_iter().flatten();
        let entries = addresses.map(|address| address.to_string()).chain([format!("{host}:{port}")]);
        entries.flat_map(|entry| ["--allow-net".to_owned(), entry]).collect::<Vec<_>>()
    };
    hosts.iter().flat_map(of).collect()
}

/// Whether `line` makes `wanted` outside, before long.
fn works_outside(line: &str, wanted: &str) -> bool {
    let outside = Scratch::new();
    let mut command = Command::new("timeout");
    let output = command.args(["-k", "5", PATIENCE, "sh", "-c", line]).current_dir(outside.path()).output();
    output.is_ok_and(|output| output.status.success()) && outside.join(wanted).exists()
}

/// Which hosts `line` goes to where nothing is configured: those of which its refusals tell, until it works or nothing new is told.
fn told_by_refusals(line: &str, shown: &[String]) -> BTreeSet<(String, u16)> {
    let mut found = BTreeSet::new();
    for _ in 0..4 {
        let mut options = allowing(&found);
        options.extend(["--allow-net".to_owned(), "none.invalid:443".to_owned()]);
        options.extend(shown.iter().flat_map(|place| ["--read".to_owned(), place.clone()]));
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let result = Tier::Full.shell(Scratch::new().path(), &options, line);
        let before = found.len();
        for denial in result["denials"].as_array().into_iter().flatten() {
            let named = denial["access"].as_str().is_some_and(|access| access.starts_with("network."));
            let subject = denial["subject"].as_str().filter(|_| named).unwrap_or_default();
            found.extend(hosts(&format!("https://{subject}")));
        }
        if result["exit_code"] == 0 || found.len() == before {
            break;
        }
    }
    found
}

/// Runs `line` outside, where it must work or the test is skipped; inside with `hosts` allowed, where it must, too; and inside without,
/// where it must not. `wanted`: a file that it makes.
fn through(what: &str, hosts: &BTreeSet<(String, u16)>, line: &str, wanted: &str) {
    through_showing(what, hosts, line, wanted, &CONFIGURATION.map(str::to_owned));
}

/// The same where the program needs to look at the places `shown`.
fn through_showing(what: &str, hosts: &BTreeSet<(String, u16)>, line: &str, wanted: &str, shown: &[String]) {
    if hosts.is_empty() || !works_outside(line, wanted) {
        return skip::skipped(&format!("{what}: no registry is configured or reachable"));
    }
    // Where the package manager finds what it is configured to.
    let there = shown.iter().filter(|place| std::path::Path::new(place).exists());
    let mut options: Vec<String> = there.flat_map(|place| ["--read".to_owned(), place.clone()]).collect();
    let configured = options.clone();
    options.extend(allowing(hosts));
    let run = |options: &[String]| -> (Output, bool) {
        let place = Scratch::new();
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let output = Tier::Full.run(place.path(), &options, &["sh", "-c", line]).output().unwrap();
        let made = place.join(wanted).exists();
        (output, made)
    };
    let (output, made) = run(&options);
    assert!(output.status.success() && made, "{what}: {output:?}");
    let (output, made) = run(&[configured, vec!["--allow-net".to_owned(), "none.invalid:443".to_owned()]].concat());
    assert!(!made, "{what}: {output:?}");
}

#[test]
fn p6_pip_downloads_from_its_index_alone() {
    let Some(python) = skip::python() else { return };
    // What is configured, or what pip itself goes to where nothing is.
    let configured = told(&python, &["-m", "pip", "config", "list"]).unwrap_or_default();
    let usual = "from pip._internal.models.index import PyPI as p; print(p.url, 'https://' + p.file_storage_domain)";
    let usual = told(&python, &["-c", usual]).unwrap_or_default();
    let index = configured.lines().filter(|line| line.contains("index-url")).collect::<Vec<_>>().join("\n");
    let all = format!(
        "{}\n{}",
        if index.is_empty() { usual } else { index },
        std::env::var("PIP_INDEX_URL").unwrap_or_default()
    );
    let line =
        format!("HOME=$PWD PIP_FIND_LINKS= {python} -m pip download -q --no-cache-dir --no-deps -d . six==1.16.0");
    through("pip", &hosts(&all), &line, "six-1.16.0-py2.py3-none-any.whl");
}

#[test]
fn p6_npm_asks_its_registry_alone() {
    if skip::program("npm").is_none() {
        return;
    }
    let Some(registry) = told("npm", &["config", "get", "registry"]) else {
        return skip::skipped("npm tells no registry");
    };
    let line = format!(
        "HOME=$PWD npm_config_cache=$PWD/cache npm view --fetch-retries 0 --registry {registry} is-number@7.0.0 version > told && test -s told && cp told version"
    );
    through("npm", &hosts(&registry), &line, "version");
}

#[test]
fn p6_apt_updates_from_its_sources_alone() {
    if skip::program("apt-get").is_none() {
        return;
    }
    let mut all = String::new();
    for folder in ["/etc/apt", "/etc/apt/sources.list.d"] {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            all.extend(text.lines().filter(|line| !line.trim_start().starts_with('#')).map(|line| format!("{line}\n")));
        }
    }
    let line = "mkdir -p lists/partial cache/archives/partial && \
                apt-get -q -o Dir::State::lists=$PWD/lists -o Dir::Cache=$PWD/cache -o APT::Sandbox::User= -o Acquire::Languages=none \
                -o Acquire::Retries=0 -o Debug::NoLocking=1 update && ls lists/*Release && touch updated";
    through("apt-get", &hosts(&all), line, "updated");
}

#[test]
fn p6_cargo_fetches_from_its_registry_alone() {
    if skip::program("cargo").is_none() || skip::program("rustc").is_none() {
        return;
    }
    let Some(toolchain) = told("rustc", &["--print", "sysroot"]) else {
        return skip::skipped("rustc does not tell where it is");
    };
    // What is configured: in files, of which it takes both, and in the environment.
    let home = std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")));
    let home = std::path::PathBuf::from(home.unwrap_or_default());
    let mut all: String = ["config.toml", "config"]
        .iter()
        .find_map(|name| std::fs::read_to_string(home.join(name)).ok())
        .unwrap_or_default();
    let beside = Scratch::new();
    let configuration = beside.write("config.toml", &all);
    let mut exported = String::new();
    for (name, value) in
        std::env::vars().filter(|(name, _)| name.starts_with("CARGO_REGISTR") && name.ends_with("_INDEX"))
    {
        all.push_str(&format!("\n{name}={value}"));
        exported.push_str(&format!("export {name}='{value}'; "));
    }
    // The toolchain itself, not what looks for one: that keeps things where the policy shows nothing.
    let line = format!(
        "set -e; {exported}export CARGO_HOME=$PWD/home; mkdir -p home p/src; touch p/src/lib.rs; cp {} home/; \
         printf '[package]\\nname = \"p\"\\nversion = \"0.0.0\"\\nedition = \"2021\"\\n[dependencies]\\nitoa = \"=1.0.15\"\\n' > p/Cargo.toml; \
         cd p; {toolchain}/bin/cargo fetch -q; ls ../home/registry/cache/*/itoa-1.0.15.crate; touch ../fetched",
        configuration.display()
    );
    let shown = [toolchain.as_str(), &beside.path().display().to_string()].map(str::to_owned);
    let configured = hosts(&all);
    if !works_outside(&line, "fetched") {
        return skip::skipped("cargo: no registry is configured or reachable");
    }
    let named = if configured.is_empty() { told_by_refusals(&line, &shown) } else { configured };
    through_showing("cargo", &named, &line, "fetched", &shown);
}
