//! `atoll verify`: checks the data folder of a stopped node.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::node::fail;
use crate::node::verify::{VerifyReport, verify};
use crate::node::{LogFormat, init_telemetry};

/// Arguments of `atoll verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads everything: rows must decode, digests must equal a full scan, the listing index must match the rows, the logs
must have no holes. Exit code 0 when all agrees, 1 when not. The node must be stopped.

Example:
  atoll verify --data .atoll/us-east-1")]
pub(crate) struct VerifyArgs {
    /// The data folder
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

impl VerifyArgs {
    /// Verifies, prints, and gives the exit code.
    pub(crate) fn run(self, as_json: bool) -> ExitCode {
        init_telemetry(LogFormat::Text);
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} partition {pos} done, {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        let result = verify(&self.data, |partition| bar.set_position(u64::from(partition.0)));
        bar.finish_and_clear();
        match result {
            Ok(report) => show(&report, as_json),
            Err(error) => fail(&error),
        }
    }
}

fn show(report: &VerifyReport, as_json: bool) -> ExitCode {
    let is_fine = report.findings.is_empty();
    if as_json {
        let json = serde_json::json!({
            "region": report.identity.region, "node": report.identity.node,
            "rows": report.rows, "records": report.records, "log_entries": report.log_entries,
            "ok": is_fine, "findings": report.findings,
        });
        println!("{json}");
    } else {
        let identity = &report.identity;
        println!(
            "node {} of region {}, incarnation {}",
            identity.node, identity.region, identity.incarnation.0
        );
        println!(
            "{} rows of {} records, {} log entries",
            report.rows, report.records, report.log_entries
        );
        for finding in &report.findings {
            println!("WRONG: {finding}");
        }
        println!(
            "{}",
            if is_fine {
                "everything agrees"
            } else {
                "NOT everything agrees"
            }
        );
    }
    if is_fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
