//! Standard streams: every byte, in order, on its own stream, and no further than the reader goes.

use super::check::{Group, Suite, ensure};
use super::sink::Sink;
use super::stage::{LONG, Stage, told};
use cofferdam_bridge::descriptor::Feature;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::ExecutionEvent;
use cofferdam_bridge::execution::{StartExecutionRequest, StreamMode, Streams};
use std::time::{Duration, Instant};

const GROUP: Group = Group::Streams;

pub(super) fn check(suite: &mut Suite, stage: &Stage) {
    if !stage.has(Feature::Commands) {
        return suite.skip(GROUP, "programs", "streams carry bytes", "the plane does not claim `commands`");
    }
    output(suite, stage);
    order(suite, stage);
    back_pressure(suite, stage);
    if stage.has(Feature::Stdin) {
        input(suite, stage);
    } else {
        suite.skip(GROUP, "stdin", "standard input carries bytes", "the plane does not claim `stdin`");
    }
}

fn output(suite: &mut Suite, stage: &Stage) {
    for size in [0, 1, 2, 4095, 4096, 4097, 65_535, 65_536, 65_537, 1_048_576, 5_000_000] {
        suite.check(GROUP, format!("stdout_{size}"), "standard output is whole", || {
            let ended = stage.shell(&format!("head -c {size} /dev/zero | tr '\\0' o"))?;
            ended.exited(0)?;
            let whole = ended.stdout.len() == size && ended.stdout.iter().all(|byte| *byte == b'o');
            ensure!(whole && ended.stderr.is_empty(), "{} bytes arrived", ended.stdout.len());
            Ok(())
        });
    }
    for size in [1, 4096, 65_537, 1_048_576] {
        suite.check(GROUP, format!("stderr_{size}"), "standard error is whole, and on its own stream", || {
            let ended = stage.shell(&format!("head -c {size} /dev/zero | tr '\\0' e >&2"))?;
            let whole = ended.stderr.len() == size && ended.stderr.iter().all(|byte| *byte == b'e');
            ensure!(whole && ended.stdout.is_empty(), "{} bytes arrived", ended.stderr.len());
            Ok(())
        });
    }
    suite.check(GROUP, "every_byte", "each of the 256 bytes arrives as it is", || {
        let all: String = (0..=255).map(|byte| format!("\\{byte:03o}")).collect();
        let ended = stage.shell(&format!("printf '{all}'"))?;
        let expected: Vec<u8> = (0..=255).collect();
        ensure!(ended.stdout == expected, "{} bytes arrived, or others", ended.stdout.len());
        Ok(())
    });
    suite.check(GROUP, "null_output", "what goes nowhere makes no event", || {
        let mut request = stage.request("echo out; echo err >&2");
        request.streams =
            Streams::Separate { stdin: StreamMode::Null, stdout: StreamMode::Null, stderr: StreamMode::Piped };
        let ended = stage.run(request)?;
        ensure!(ended.stdout.is_empty() && ended.stderr == b"err\n", "{} bytes came", ended.stdout.len());
        Ok(())
    });
    suite.check(GROUP, "null_input", "input from nowhere is at its end", || {
        let text = stage.shell("wc -c")?.text();
        ensure!(text.trim() == "0", "{text:?} bytes were read");
        Ok(())
    });
}

fn order(suite: &mut Suite, stage: &Stage) {
    suite.check(GROUP, "one_end", "there is one end, and it is the last event", || {
        let run = stage.start(stage.request("echo a; echo b >&2; exit 1")).map_err(|error| told(&error))?;
        run.finish()?;
        // A second one has a moment to come.
        run.wait_for(Duration::from_millis(100), |_| false);
        let events = run.sink.events();
        let ends = events.iter().filter(|event| matches!(event, ExecutionEvent::Exited(_))).count();
        let last = matches!(events.last(), Some(ExecutionEvent::Exited(_)));
        ensure!(ends == 1 && last, "{ends} ends, the last event being one: {last}");
        Ok(())
    });
    suite.check(GROUP, "sequence", "output keeps its order", || {
        let text = stage.shell("seq 1 20000")?.text();
        let expected: String = (1..=20_000).map(|number| format!("{number}\n")).collect();
        ensure!(text == expected, "it does not");
        Ok(())
    });
    suite.check(GROUP, "both_at_once", "two floods at once do not wait for each other", || {
        let ended = stage.shell("head -c 2000000 /dev/zero & head -c 2000000 /dev/zero >&2; wait")?;
        let both = (ended.stdout.len(), ended.stderr.len());
        ensure!(both == (2_000_000, 2_000_000), "{both:?} bytes arrived");
        Ok(())
    });
    suite.check(GROUP, "no_empty_events", "no event of output is empty", || {
        let events = stage.shell("printf x; sleep 0.1; printf y")?.events;
        let empty = events.iter().any(|event| {
            matches!(event, ExecutionEvent::Stdout { bytes } | ExecutionEvent::Stderr { bytes } if bytes.is_empty())
        });
        ensure!(!empty, "one is");
        Ok(())
    });
    suite.check(GROUP, "as_it_comes", "output is handed over while the program runs", || {
        let begun = Instant::now();
        let run = stage.start(stage.request("echo early; sleep 1.5")).map_err(|error| told(&error))?;
        run.says("early")?;
        let early = run.sink.events().iter().all(|event| !matches!(event, ExecutionEvent::Exited(_)));
        let took = begun.elapsed();
        run.finish()?;
        ensure!(early, "it came with the end, after {took:?}");
        Ok(())
    });
}

fn back_pressure(suite: &mut Suite, stage: &Stage) {
    suite.check(GROUP, "slow_reader", "a reader without room loses nothing", || {
        let sink = Sink::full();
        let request = stage.request("seq 1 200000");
        let run = stage.start_into(request, sink.clone()).map_err(|error| told(&error))?;
        std::thread::sleep(Duration::from_millis(200));
        sink.open();
        let ended = run.finish()?;
        let expected: String = (1..=200_000).map(|number| format!("{number}\n")).collect();
        ensure!(ended.text() == expected, "{} of {} bytes arrived", ended.stdout.len(), expected.len());
        Ok(())
    });
    suite.check(GROUP, "bounded", "what a plane keeps for a reader without room is bounded", || {
        let sink = Sink::full();
        let run = stage.start_into(stage.request("head -c 7000000 /dev/zero; echo end >&2"), sink.clone());
        let run = run.map_err(|error| told(&error))?;
        std::thread::sleep(Duration::from_millis(500));
        ensure!(sink.bytes() == 0, "{} bytes were handed over without room", sink.bytes());
        sink.open();
        let ended = run.finish()?;
        ensure!(ended.stdout.len() == 7_000_000, "{} bytes arrived", ended.stdout.len());
        Ok(())
    });
    suite.check(GROUP, "nobody_reads", "a program that nobody reads any more is ended", || {
        let line = "while :; do echo beat; echo beat >> unread; sleep 0.02; done";
        let run = stage.start(stage.request(line)).map_err(|error| told(&error))?;
        run.says("beat")?;
        run.sink.abandon();
        let size = || std::fs::metadata(stage.work().join("unread")).map_or(0, |metadata| metadata.len());
        let end = Instant::now() + LONG;
        loop {
            let before = size();
            std::thread::sleep(Duration::from_millis(300));
            if size() == before {
                return Ok(());
            }
            if Instant::now() > end {
                let _ = run.signal(cofferdam_bridge::execution::ExecutionSignal::Kill);
                return Err("it goes on".to_owned());
            }
        }
    });
}

fn piped(stage: &Stage, line: &str) -> StartExecutionRequest {
    let mut request = stage.request(line);
    request.streams =
        Streams::Separate { stdin: StreamMode::Piped, stdout: StreamMode::Piped, stderr: StreamMode::Piped };
    request
}

fn input(suite: &mut Suite, stage: &Stage) {
    let plane = &stage.plane;
    for size in [0, 1, 4096, 65_536, 65_537, 1_048_576, 3_000_000] {
        suite.check(GROUP, format!("stdin_{size}"), "standard input arrives whole", || {
            let run = stage.start(piped(stage, "wc -c")).map_err(|error| told(&error))?;
            plane.write_stdin(&run.execution, &vec![b'i'; size]).map_err(|error| told(&error))?;
            plane.close_stdin(&run.execution).map_err(|error| told(&error))?;
            let text = run.finish()?.text();
            ensure!(text.trim() == size.to_string(), "{text:?} bytes arrived");
            Ok(())
        });
    }
    suite.check(GROUP, "stdin_bytes", "each of the 256 bytes is read as it was written", || {
        let all: Vec<u8> = (0..=255).collect();
        let run = stage.start(piped(stage, "cat")).map_err(|error| told(&error))?;
        plane.write_stdin(&run.execution, &all).map_err(|error| told(&error))?;
        plane.close_stdin(&run.execution).map_err(|error| told(&error))?;
        ensure!(run.finish()?.stdout == all, "others came back");
        Ok(())
    });
    suite.check(GROUP, "stdin_parts", "what is written in parts is read in their order", || {
        let run = stage.start(piped(stage, "cat")).map_err(|error| told(&error))?;
        for number in 0..100 {
            plane.write_stdin(&run.execution, format!("{number},").as_bytes()).map_err(|error| told(&error))?;
        }
        plane.close_stdin(&run.execution).map_err(|error| told(&error))?;
        let expected: String = (0..100).map(|number| format!("{number},")).collect();
        let text = run.finish()?.text();
        ensure!(text == expected, "{text:?} came back");
        Ok(())
    });
    suite.check(GROUP, "conversation", "a program hears what is written while it runs", || {
        let run = stage.start(piped(stage, "echo name?; read name; echo hello $name")).map_err(|error| told(&error))?;
        run.says("name?")?;
        plane.write_stdin(&run.execution, b"kit\n").map_err(|error| told(&error))?;
        run.says("hello kit")?;
        run.finish()?.exited(0)
    });
    suite.check(GROUP, "closed_twice", "closing input twice is no error", || {
        let run = stage.start(piped(stage, "cat")).map_err(|error| told(&error))?;
        for _ in 0..2 {
            plane.close_stdin(&run.execution).map_err(|error| told(&error))?;
        }
        run.finish()?.exited(0)
    });
    suite.check(GROUP, "closed_after_end", "closing the input of what has ended is no error", || {
        let run = stage.start(piped(stage, "exit 0")).map_err(|error| told(&error))?;
        run.finish()?;
        plane.close_stdin(&run.execution).map_err(|error| told(&error))
    });
    suite.check(GROUP, "written_after_close", "what is written after closing is refused or dropped", || {
        let run = stage.start(piped(stage, "cat; sleep 0.2")).map_err(|error| told(&error))?;
        plane.close_stdin(&run.execution).map_err(|error| told(&error))?;
        let written = plane.write_stdin(&run.execution, b"late");
        let ended = run.finish()?;
        ensure!(ended.stdout.is_empty(), "it was read");
        refused_or_dropped(written)
    });
    suite.check(GROUP, "written_after_end", "what is written to what has ended is refused", || {
        let run = stage.start(piped(stage, "exit 0")).map_err(|error| told(&error))?;
        run.finish()?;
        let code = plane.write_stdin(&run.execution, b"late").err().map(|error| error.code);
        let codes = [ErrorCode::UnknownExecution, ErrorCode::IoFailed];
        ensure!(code.is_some_and(|code| codes.contains(&code)), "the code is {code:?}");
        Ok(())
    });
    suite.check(GROUP, "unread_input", "a program that reads nothing and ends holds up no writer", || {
        let run = stage.start(piped(stage, "sleep 0.2; exit 4")).map_err(|error| told(&error))?;
        let written = plane.write_stdin(&run.execution, &vec![b'x'; 4 << 20]);
        run.finish()?.exited(4)?;
        refused_or_dropped(written)
    });
}

fn refused_or_dropped(written: Result<(), cofferdam_bridge::error::BridgeError>) -> Result<(), String> {
    let codes = [ErrorCode::IoFailed, ErrorCode::UnknownExecution, ErrorCode::InvalidState, ErrorCode::Cancelled];
    match written {
        Err(error) if !codes.contains(&error.code) => Err(told(&error)),
        _ => Ok(()),
    }
}
