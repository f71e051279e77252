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

/// Runs `line` outside, where it must work or the test is skipped; inside with `hosts` allowed, where it must, too; and inside without,
/// where it must not. `wanted`: a file that it makes.
fn through(what: &str, hosts: &BTreeSet<(String, u16)>, line: &str, wanted: &str) {
    let outside = Scratch::new();
    let output =
        Command::new("timeout").args(["-k", "5", PATIENCE, "sh", "-c", line]).current_dir(outside.path()).output();
    if hosts.is_empty() || !output.is_ok_and(|output| output.status.success()) || !outside.join(wanted).exists() {
        return skip::skipped(&format!("{what}: no registry is configured or reachable"));
    }
    // Where the package manager finds what it is configured to.
    let mut options: Vec<String> = CONFIGURATION
        .iter()
        .filter(|place| std::path::Path::new(place).exists())
        .flat_map(|place| ["--read", place])
        .map(str::to_owned)
        .collect();
    let configured = options.clone();
    for (host, port) in hosts {
        options.extend(["--allow-net".to_owned(), format!("{host}:{port}")]);
        // A mirror may be in a network of the machine's own.
        for address in (host.as_str(), *port).to_socket_addrs().into_iter().flatten() {
            options.extend(["--allow-net".to_owned(), address.to_string()]);
        }
    }
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
        "HOME=$PWD npm_config_cache=$PWD/cache npm view --registry {registry} is-number@7.0.0 version > told && test -s told && cp told version"
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
