//! `cofferdam audit follow`.

use super::audit::Which;
use super::audit_show::last;
use crate::failure::Failure;
use crate::report::audit::{self, Form};
use clap::Args;
use std::io::Write;
use std::time::Duration;

/// However a change is missed, it is looked for again after this time.
const LONGEST: Duration = Duration::from_secs(1);

/// Shows the last records, and each that is added from then on, until it is interrupted.
#[derive(Debug, Args)]
pub(crate) struct Follow {
    /// How many of the last records to show first.
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    last: usize,
    #[command(flatten)]
    which: Which,
    /// Print each record as it stands in the log, one JSON object a line.
    #[arg(long)]
    json: bool,
}

impl Follow {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let log = self.which.open()?;
        let form = Form::new(self.json);
        // Watched before it is read, so that nothing is missed between.
        log.wait_for_change(Duration::ZERO)?;
        let (shown, mut reader) = last(&log, self.last)?;
        let mut stdout = std::io::stdout().lock();
        let mut text = audit::table(shown.iter(), form);
        loop {
            // A reader that has gone away has read enough.
            if stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_err() {
                return Ok(0);
            }
            let records = reader.more()?;
            text = audit::rows(records.iter(), form);
            if records.is_empty() {
                log.wait_for_change(LONGEST)?;
            }
        }
    }
}
