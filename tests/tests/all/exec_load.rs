//! Programs as functions in earnest: a database job, and a thousand runs that leave nothing.

use cofferdam_bridge::exec::RunProgram;
use cofferdam_tests::observe::within;
use cofferdam_tests::one_shot::{PLANES, PlaneKind, Programs, block_on};
use cofferdam_tests::skip;
use serde_json::json;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const JOB: &str = r"
import json, sqlite3, sys
job = json.load(sys.stdin)
base = sqlite3.connect(job['database'])
base.execute('create table if not exists orders (item text, count integer)')
with base:
    base.executemany('insert into orders values (:item, :count)', job['orders'])
totals = base.execute('select item, sum(count) from orders group by item order by item').fetchall()
json.dump({'totals': dict(totals), 'changes': base.total_changes}, sys.stdout)
";

#[test]
fn a_database_job_without_a_client_of_its_own() {
    let Some(python) = skip::python() else { return };
    let folder = std::path::Path::new(&python).parent().and_then(std::path::Path::parent).unwrap().display();
    let programs = Programs::also(
        &format!("read = [\"{{workspace}}\", \"{folder}\"]\nwrite = [\"{{workspace}}/data\"]"),
        &folder.to_string(),
    );
    fs::create_dir(programs.path("data")).unwrap();
    for (plane, expected) in PLANES.into_iter().zip([3, 6]) {
        let vm = programs.vm(plane);
        let job = json!({
            "database": programs.text("data/orders.db"),
            "orders": [{ "item": "nut", "count": 1 }, { "item": "bolt", "count": 5 }, { "item": "nut", "count": 2 }],
        });
        let request = RunProgram::new(python.as_str()).args(["-c", JOB]).stdin_json(job);
        let answer = block_on(vm.exec(request)).unwrap();
        assert_eq!(answer["totals"]["nut"], expected, "{plane:?}: the second run finds what the first has left");
        assert_eq!(answer["changes"], 3);
    }
}

/// Descriptors, threads, and what /proc tells of each child.
type Held = (usize, usize, Vec<String>);

/// What this process holds: descriptors, threads, and children, the dead ones included.
fn held() -> Held {
    let count = |folder: &str| fs::read_dir(folder).unwrap().count();
    let own = std::process::id().to_string();
    let is_ours = |status: &String| status.lines().any(|line| line == format!("PPid:\t{own}"));
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let statuses = processes.filter_map(|entry| fs::read_to_string(entry.path().join("status")).ok());
    (count("/proc/self/fd"), count("/proc/self/task"), statuses.filter(is_ours).collect())
}

#[test]
fn a_thousand_one_shots_in_parallel_leave_no_descriptor_no_zombie_and_no_thread() {
    // Other tests of this process would be counted, too: it is done in one of its own.
    const ALONE: &str = "COFFERDAM_ONE_SHOTS";
    if std::env::var_os(ALONE).is_none() {
        let own = std::env::current_exe().unwrap();
        let name = "exec_load::a_thousand_one_shots_in_parallel_leave_no_descriptor_no_zombie_and_no_thread";
        let output = std::process::Command::new(own).args([name, "--exact"]).env(ALONE, "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    static ONE: Mutex<()> = Mutex::new(());
    let _alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let programs = Programs::default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for plane in [PlaneKind::Linux, PlaneKind::Host, PlaneKind::Prepared] {
        let vm = programs.vm(plane);
        let batch = |count: usize| {
            runtime.block_on(async {
                let runs = (0..count).map(|number| {
                    let vm = vm.clone();
                    tokio::spawn(async move { vm.exec(RunProgram::new("/bin/cat").stdin_json(json!(number))).await })
                });
                for (number, run) in runs.collect::<Vec<_>>().into_iter().enumerate() {
                    assert_eq!(run.await.unwrap().unwrap(), json!(number), "{plane:?}");
                }
            });
        };
        // What is made once and kept is made now.
        batch(10);
        let dead = || held().2.iter().filter(|status| status.contains("State:\tZ")).count();
        assert!(within(Duration::from_secs(5), || dead() == 0), "{plane:?}: {:?}", held().2);
        let before = held();
        for _ in 0..50 {
            batch(20);
        }
        // A plane may keep a process that clears up after it; more than before there are not.
        let as_before = |now: &Held| now.0 <= before.0 && now.1 <= before.1 && now.2.len() <= before.2.len();
        assert!(
            within(Duration::from_secs(5), || as_before(&held()) && dead() == 0),
            "{plane:?}: before {before:?}, after {:?}",
            held()
        );
    }
}
