//! `localhost` inside a run whose hosts are named: a server of the run's own is found by that name, on whichever family it listens alone.

use cofferdam_tests::attack::{Attack, Tier};
use cofferdam_tests::host::Host;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;

/// A server on each of the addresses in turn, and who asks it by name.
const BY_NAME: &str = "
import functools, http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = b'1' * 40 + b'\\trefs/heads/found\\n' if '/info/refs' in self.path else b'ref: refs/heads/found\\n'
        self.send_response(200); self.send_header('Content-Length', str(len(text))); self.end_headers(); self.wfile.write(text)
    def log_message(self, *_): pass
class Six(http.server.ThreadingHTTPServer): address_family = socket.AF_INET6
def program(*line):
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    if b'found' not in done.stdout: raise Exception(done.stdout)
def first():
    family, kind, _, _, address = socket.getaddrinfo('localhost', 8000, type=socket.SOCK_STREAM)[0]
    s = socket.socket(family, kind); s.settimeout(20); s.connect(address); s.close()
URL = 'http://localhost:8000/'
ways = {'curl': ['curl', '-sS', URL], 'git': ['git', 'ls-remote', URL + 'x'],
    'node': ['node', '-e', 'fetch(\"' + URL + '\").then(r => r.text()).then(console.log)']}
for name, server in [('four', http.server.ThreadingHTTPServer(('127.0.0.1', 8000), Handler)), ('six', Six(('::1', 8000), Handler))]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for way in os.environ['WAYS'].split():
        attempt(name + '_' + way, functools.partial(program, *ways[way]))
    import urllib.request
    attempt(name + '_urllib', lambda: urllib.request.urlopen(URL, timeout=20).read())
    if name == 'four': attempt(name + '_first', first)
    server.shutdown(); server.server_close()
";

#[test]
fn p6_a_server_of_the_run_is_found_by_the_name_localhost_on_either_family() {
    let Some(attack) = Attack::new(BY_NAME) else { return };
    if !Host::http().has_v6() {
        return skip::skipped("this machine has no IPv6");
    }
    let ways: Vec<&str> = ["curl", "git", "node"].into_iter().filter(|way| skip::program(way).is_some()).collect();
    let told = format!("WAYS={}", ways.join(" "));
    let options = ["--allow-net", "api.test:443", "--env", &told];
    let answers = attack.inside(Tier::Full, Scratch::new().path(), &options);
    answers.assert_each(2 * ways.len() + 3, &["ok"]);
}
