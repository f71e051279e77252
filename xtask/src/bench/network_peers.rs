//! Other ways for an unprivileged program to reach the network out of a namespace, where they are installed: pasta and slirp4netns.

use crate::workspace::say;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

/// As whom they run where the benchmark is root's: neither is meant for root.
const USER: &str = "tester";
/// Longest time of one figure, in seconds: who has hung by then has no figure.
const LONGEST: &str = "60";

/// Makes a network namespace, lets slirp4netns serve it, and runs the rest of the line there. Its host is at 10.0.2.2.
const SLIRP: &str = r#"
d=$(mktemp -d) && mkfifo "$d/go" "$d/pid" || exit 1
unshare --user --map-root-user --net sh -c 'echo $$ > "$0/pid"; read go < "$0/go"; exec "$@"' "$d" "$@" &
run=$!
read pid < "$d/pid"
slirp4netns --configure --mtu=65520 --disable-dns --ready-fd=3 "$pid" tap0 3> "$d/go" > /dev/null 2>&1 &
slirp=$!
wait "$run"; status=$?
kill "$slirp"; wait "$slirp" 2> /dev/null
rm -r "$d"
exit "$status"
"#;

/// Names and command lines that do `kind` of the load against `port` of this machine's loopback, of those that can.
pub(super) fn found(load: &str, kind: &str, port: &str, count: &str) -> Vec<(&'static str, Vec<String>)> {
    let line = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
    // In a tree of processes of their own, of which none is left: pasta's child waits forever where pasta itself could not begin.
    let limited = ["--pid", "--fork", "--kill-child", "--mount-proc", "timeout", "--kill-after=1", LONGEST];
    let user = ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups", "env", "HOME=/", "TMPDIR=/tmp"];
    // One's own directory in /proc is one's own.
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let (tree, user): (&[&str], &[&str]) =
        if root { (&["unshare"], &user) } else { (&["unshare", "--user", "--map-current-user"], &[]) };
    if root && !works(&line(&["id", USER])) {
        say(&format!("there is no user {USER} to run pasta and slirp4netns as: no comparison with them"));
        return Vec::new();
    }
    let of = |count: &str| {
        let pasta =
            [tree, &limited, user, &["pasta", "--quiet", "-T", port, "--", load, kind, "127.0.0.1", port, count]];
        let slirp = [tree, &limited, user, &["bash", "-c", SLIRP, "bash", load, kind, "10.0.2.2", port, count]];
        [("pasta, spliced port", line(&pasta.concat())), ("slirp4netns", line(&slirp.concat()))]
    };
    let works = of("1").into_iter().map(|(_, line)| works(&line));
    let able: Vec<bool> = works.collect();
    let all = of(count).into_iter().zip(able);
    let kept = all.filter_map(|((name, line), able)| {
        if !able {
            say(&format!("{name} does not do `{kind}` here, or is not installed (scripts/setup.sh): no comparison"));
        }
        able.then_some((name, line))
    });
    kept.collect()
}

fn works(line: &[String]) -> bool {
    let Some((program, arguments)) = line.split_first() else { return false };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
    command.output().is_ok_and(|output| output.status.success() && !output.stdout.is_empty())
}
