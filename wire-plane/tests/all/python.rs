//! The plane in one Python file, used by a kernel.

use crate::fixture::python_command;
use cofferdam_bridge::execution::StreamMode;
use cofferdam_kernel::policy::{NoFiles, Policy};
use cofferdam_kernel::{Kernel, VmSpec};
use cofferdam_wire_plane::WirePlane;

#[test]
fn b6_a_kernel_runs_a_real_program_on_the_plane_in_python() {
    let Some(command) = python_command() else { return };
    let kernel = Kernel::builder(WirePlane::start(command).unwrap()).build().unwrap();
    let lines = "version = 1\n[isolation]\nrequire = \"none\"\n[commands]\nallow = [\"/\"]\n[limits]\nwall = \"30s\"\n";
    let policy = Policy::parse(lines, "test", &NoFiles).unwrap();
    let vm = kernel.create_vm(VmSpec::new(policy)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let output = vm.command("/bin/sh").args(["-c", "seq 1 50000 | sort -rn | head -1"]).output().await.unwrap();
        assert_eq!((output.stdout.as_slice(), output.success()), (b"50000\n".as_slice(), true));
        let mut execution = vm.command("/bin/cat").stdin(StreamMode::Piped).spawn().await.unwrap();
        let controller = execution.controller();
        controller.write_stdin(b"typed".to_vec()).await.unwrap();
        controller.close_stdin().await.unwrap();
        assert!(execution.wait().await.cause.success());
        let refused = kernel.create_vm(VmSpec::new(Policy::strict())).unwrap_err();
        assert!(refused.to_string().contains("isolat"), "{refused}");
    });
}
