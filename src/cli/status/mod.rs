//! `atoll status`: every node's state and its view of the other regions.

mod nodes_table;
mod table;

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::client::ClientError;
use crate::cli::client::cluster::NodeStatus;
use crate::cli::client_command::Context;
use crate::cli::endpoints::{Endpoint, SurveyArgs};
use crate::cli::error::{CliError, Outcome};
use crate::cli::survey::{self, Surveyed};

/// How often `--watch` asks.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Arguments of `status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  atoll status                                   the nodes of ./regions.toml
  atoll status --config /etc/atoll/regions.toml
  atoll status --endpoint http://127.0.0.1:8101  that node, and how it sees the other regions
  atoll status --watch

Each node is shown with one line for each other region: the link to it, its round trip, how far the node's region is \
behind it (lag; 0 ms when idle and caught up; with the changes that are missing and the time left, when behind), how many changes wait to be sent to it (backlog), and the last error. \
Where a region has several nodes, a second table shows how each sees the others: whether it hears them, and how many partitions they lead. \
The exit code is 1 only if no node answers.")]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    survey: SurveyArgs,
    /// Refresh every second until Ctrl-C
    #[arg(long, short)]
    watch: bool,
}

/// What is known of one node.
pub(crate) struct NodeReport {
    endpoint: Endpoint,
    result: Result<(Value, NodeStatus), ClientError>,
}

/// Runs `status`.
pub(crate) async fn run(args: StatusArgs, context: &mut Context) -> Result<Outcome, CliError> {
    let endpoints = args.survey.endpoints(&context.connection.endpoints)?;
    let nodes = survey::prepare(endpoints, &context.connection.options)?;
    if args.watch {
        return watch(&nodes, context).await;
    }
    let reports = ask(&nodes).await;
    if context.connection.json {
        context
            .output
            .json(&reports.iter().map(as_json).collect::<Vec<_>>())?;
    } else {
        context.output.line(&render(&reports))?;
    }
    Ok(Outcome::from(reports.iter().any(|report| report.result.is_ok())))
}

async fn watch(nodes: &[Surveyed], context: &mut Context) -> Result<Outcome, CliError> {
    let mut interval = tokio::time::interval(WATCH_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let reports = tokio::select! {
            result = &mut interrupted => {
                let failed = |source| CliError::Io { action: "wait for Ctrl-C".to_owned(), source };
                return result.map(|()| Outcome::Success).map_err(failed);
            }
            reports = async { interval.tick().await; ask(nodes).await } => reports,
        };
        if context.connection.json {
            context
                .output
                .json(&reports.iter().map(as_json).collect::<Vec<_>>())?;
        } else {
            show(&render(&reports), context)?;
        }
        context.output.flush()?;
    }
}

/// The nodes with their peers, and where regions have several how these see each other.
fn render(reports: &[NodeReport]) -> String {
    let mut text = table::render(reports);
    if let Some(nodes) = nodes_table::render(reports) {
        text.push_str("\n\n");
        text.push_str(&nodes);
    }
    text
}

/// Draws over the table before, line by line, so that nothing flickers; below it in a pipe.
fn show(table: &str, context: &mut Context) -> Result<(), CliError> {
    const HOME: &str = "\x1b[H";
    const CLEAR_TO_END_OF_LINE: &str = "\x1b[K";
    const CLEAR_BELOW: &str = "\x1b[J";
    if !context.output.is_terminal() {
        return context.output.line(&format!("{table}\n"));
    }
    context.output.bytes(HOME.as_bytes())?;
    for line in table.lines().chain(["", "refreshed each second; Ctrl-C ends"]) {
        context.output.line(&format!("{line}{CLEAR_TO_END_OF_LINE}"))?;
    }
    context.output.bytes(CLEAR_BELOW.as_bytes())
}

async fn ask(nodes: &[Surveyed]) -> Vec<NodeReport> {
    let results = survey::ask_all(nodes, async |client| client.status().await).await;
    let reports = nodes
        .iter()
        .zip(results)
        .map(|(node, result)| NodeReport {
            endpoint: node.endpoint.clone(),
            result,
        })
        .collect();
    without_repeats(reports)
}

/// One node may be named twice (`localhost` and `127.0.0.1`); it is shown once.
fn without_repeats(mut reports: Vec<NodeReport>) -> Vec<NodeReport> {
    let mut seen = BTreeSet::new();
    reports.retain(|report| match &report.result {
        Ok((_, status)) => seen.insert((status.region.clone(), status.node.clone())),
        Err(_) => true,
    });
    reports
}

fn as_json(report: &NodeReport) -> Value {
    let url = report.endpoint.url.to_string();
    match &report.result {
        Ok((raw, status)) => {
            json!({ "endpoint": url, "region": status.region, "reachable": true, "status": raw })
        }
        Err(error) => json!({
            "endpoint": url,
            "region": report.endpoint.region,
            "reachable": false,
            "error": error.reason(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;

    use super::*;
    use crate::cli::connection::ConnectionArgs;
    use crate::cli::fake_node::{self, unreachable_url};

    async fn status() -> axum::Json<Value> {
        axum::Json(json!({
            "cluster": "test", "region": "us-east", "node": "us-east-1", "version": "0.1.0", "state": "healthy",
            "partitions": 64, "a_field_of_a_later_version": true,
            "peers": [{ "region": "eu-west", "state": "healthy", "link": "up", "rtt_ms": 0.4, "lag_ms": 0,
                        "backlog_changes": 1234, "last_error": null }],
        }))
    }

    #[tokio::test]
    async fn a_dead_region_is_shown_beside_a_living_one() {
        let url = fake_node::start(Router::new().route("/v1/cluster/status", get(status))).await;
        let options = ConnectionArgs::for_test(url.clone()).options;
        let endpoints = vec![
            Endpoint {
                region: Some("us-east".to_owned()),
                url: url.clone(),
            },
            Endpoint {
                region: None,
                url: url.to_string().replace("127.0.0.1", "localhost").parse().unwrap(),
            },
            Endpoint {
                region: Some("ap-south".to_owned()),
                url: unreachable_url(),
            },
        ];
        let reports = ask(&survey::prepare(endpoints, &options).unwrap()).await;
        assert_eq!(reports.len(), 2, "the node named twice is shown once");
        let table = table::render(&reports);
        for expected in [
            "us-east-1",
            "healthy",
            "eu-west",
            "up",
            "0.4 ms",
            "1 234",
            "ap-south",
            "unreachable",
        ] {
            assert!(table.contains(expected), "{expected} is missing in\n{table}");
        }
        assert_eq!(as_json(&reports[1])["error"], "connection refused");
        assert_eq!(as_json(&reports[0])["status"]["a_field_of_a_later_version"], true);
    }
}
