//! `cofferdam audit show`.

use super::audit::Which;
use crate::failure::Failure;
use crate::report::audit::{self, Form};
use clap::Args;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_kernel::audit::{ReadRecord, Reader};
use cofferdam_plane_kit::host::HostAudit;
use std::collections::VecDeque;

/// Shows the last records, or one of them in full.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The sequence number of the record to show in full, such as the `audit_sequence` of a result.
    #[arg(value_name = "SEQUENCE")]
    sequence: Option<u64>,
    /// How many of the last records to show.
    #[arg(long, value_name = "COUNT", default_value_t = 20, conflicts_with = "sequence")]
    last: usize,
    #[command(flatten)]
    which: Which,
    /// Print each record as it stands in the log, one JSON object a line.
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let log = self.which.open()?;
        let form = Form::new(self.json);
        let Some(sequence) = self.sequence else {
            super::print(&audit::table(last(&log, self.last)?.0.iter(), form))?;
            return Ok(0);
        };
        let mut reader = Reader::around(&log, sequence)?;
        loop {
            let records = reader.more()?;
            if let Some(read) = records.iter().find(|read| read.record.as_ref().is_some_and(|own| own.seq == sequence))
            {
                super::print(&audit::whole(read, form))?;
                return Ok(0);
            }
            if records.is_empty() {
                let sentence = format!("the log has no record {sequence}");
                return Err(
                    Failure::new(ErrorCode::NotFound, sentence).hint("cofferdam audit show lists the last ones")
                );
            }
        }
    }
}

/// The last `count` records, and the reader of what comes after them.
pub(super) fn last(log: &HostAudit, count: usize) -> Result<(VecDeque<ReadRecord>, Reader<'_, HostAudit>), Failure> {
    let mut reader = Reader::new(log);
    let mut last = VecDeque::new();
    loop {
        let records = reader.more()?;
        if records.is_empty() {
            return Ok((last, reader));
        }
        for record in records {
            if last.len() == count {
                last.pop_front();
            }
            if count > 0 {
                last.push_back(record);
            }
        }
    }
}
