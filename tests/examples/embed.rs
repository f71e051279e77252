//! Embeds the kernel: runs a command under a policy, with the current directory as its workspace.

use cofferdam_kernel::{Kernel, VmSpec, policy::Policy};
use cofferdam_sandbox_linux::LinuxPlane;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let kernel = Kernel::builder(LinuxPlane::new()?).build()?;
    let here = std::env::current_dir()?.to_string_lossy().into_owned();
    let vm = kernel.create_vm(VmSpec::new(Policy::builtin("dev")?).workspace(here))?;
    let output = runtime.block_on(vm.command("/bin/ls").arg("/").output())?;
    assert!(output.success() && output.stdout.starts_with(b"bin\n"), "{output:?}");
    Ok(())
}
