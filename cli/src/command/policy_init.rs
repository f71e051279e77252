//! `cofferdam policy init`: writes a policy to begin with.

use crate::failure::{Failure, io};
use crate::policy_file;
use clap::Args;
use cofferdam_bridge::error_code::ErrorCode;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

/// Writes a commented policy. A file that exists is never overwritten.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cofferdam policy init\n  cofferdam policy init --extends strict ci.toml")]
pub(crate) struct Init {
    /// The policy to build on.
    #[arg(long, value_name = "NAME", default_value = "dev")]
    extends: String,
    /// Where to write it.
    #[arg(default_value = "cofferdam.toml")]
    file: PathBuf,
}

impl Init {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        policy_file::find(&self.extends)?;
        let name = self.file.display();
        let mut file =
            OpenOptions::new().write(true).create_new(true).open(&self.file).map_err(|error| match error.kind() {
                ErrorKind::AlreadyExists => {
                    Failure::new(ErrorCode::AlreadyExists, format!("`{name}` exists and is left as it is"))
                        .hint("name another file: cofferdam policy init FILE")
                }
                _ => io(&format!("`{name}` cannot be written"), &error),
            })?;
        file.write_all(text(&self.extends).as_bytes())
            .map_err(|error| io(&format!("`{name}` cannot be written"), &error))?;
        super::print(&format!("Wrote {name}. Try it: cofferdam run --policy {name} -- PROGRAM\n"))?;
        Ok(0)
    }
}

fn text(extends: &str) -> String {
    // A JSON text is a TOML text: both escape in the same way.
    let extends = serde_json::Value::from(extends);
    format!(
        r#"# What programs run with this policy may do. Everything that is not allowed is refused.
version = 1
extends = {extends}

[filesystem]
# Besides what `extends` allows. {{workspace}}, {{home}} and {{tmp}} stand for directories.
read = []
write = []
# Refused, even inside what is allowed above.
deny = ["{{workspace}}/**/.env"]

[network]
# "deny", or "allowlist" with hosts such as allow = ["api.example.com:443"].
mode = "deny"

[environment]
# Names of variables to hand on. Nothing else crosses.
pass = []

[limits]
# Such as wall = "10m", memory = "2GiB", processes = 256.
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_kernel::policy::{NoFiles, Policy};

    #[test]
    fn what_is_written_is_a_policy() {
        for name in Policy::builtin_names() {
            Policy::parse(&text(name), "written", &NoFiles).unwrap();
        }
    }
}
