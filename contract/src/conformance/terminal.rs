//! Terminals of a program's own.

use super::check::{Group, Suite, ensure};
use super::stage::{Running, Stage, told};
use cofferdam_bridge::descriptor::Feature;
use cofferdam_bridge::execution::{Streams, TerminalSize};

const GROUP: Group = Group::Terminal;

pub(super) fn check(suite: &mut Suite, stage: &Stage) {
    if !stage.has(Feature::Terminal) {
        return suite.skip(GROUP, "terminal", "a program gets a terminal", "the plane does not claim `terminal`");
    }
    let plane = &stage.plane;
    let start = |line: &str| -> Result<Running<'_>, String> {
        let mut request = stage.request(line);
        request.streams = Streams::Terminal { size: TerminalSize::new(31, 97) };
        stage.start(request).map_err(|error| told(&error))
    };
    suite.check(GROUP, "is_one", "all three streams are the terminal", || {
        start("test -t 0 && test -t 1 && test -t 2 && exit 6")?.finish()?.exited(6)
    });
    suite.check(GROUP, "size", "it has the size that was asked for", || {
        let text = start("stty size")?.finish()?.text();
        ensure!(text.trim() == "31 97", "it is {text:?}");
        Ok(())
    });
    suite.check(GROUP, "resize", "its size can be changed", || {
        let run = start("echo up; read x; stty size")?;
        run.says("up")?;
        plane.resize_terminal(&run.execution, TerminalSize::new(10, 40)).map_err(|error| told(&error))?;
        plane.write_stdin(&run.execution, b"\n").map_err(|error| told(&error))?;
        let text = run.finish()?.text();
        ensure!(text.contains("10 40"), "it is {text:?}");
        Ok(())
    });
    suite.check(GROUP, "typing", "what is typed is read", || {
        let run = start("echo up; read x; echo \"<$x>\"")?;
        run.says("up")?;
        plane.write_stdin(&run.execution, b"typed\n").map_err(|error| told(&error))?;
        run.says("<typed>")?;
        run.finish()?.exited(0)
    });
    suite.check(GROUP, "interrupt", "Ctrl-C interrupts the program", || {
        let run = start("trap 'echo caught; exit 3' INT; echo up; while :; do sleep 0.05; done")?;
        run.says("up")?;
        plane.write_stdin(&run.execution, b"\x03").map_err(|error| told(&error))?;
        run.finish()?.exited(3)
    });
}
