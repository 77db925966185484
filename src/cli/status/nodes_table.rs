//! The second table of `atoll status`: how the nodes of a region see each other. Pure: reports in, text out.

use comfy_table::{CellAlignment, ContentArrangement, Row, Table, TableComponent, presets};

use super::NodeReport;
use super::table::{coloured, plain};
use crate::cli::client::cluster::{NodeStatus, RegionNodeStatus};
use crate::cli::text;

const HEADER: [&str; 7] = ["region", "node", "sees", "state", "leads", "rtt", "last error"];

/// Columns that hold quantities.
const NUMBER_COLUMNS: [usize; 2] = [4, 5];

/// Draws the table of all regions of several nodes, and below it what nobody leads; nothing where each node has its region to
/// itself.
pub(super) fn render(reports: &[NodeReport]) -> Option<String> {
    let statuses = reports
        .iter()
        .filter_map(|report| Some(&report.result.as_ref().ok()?.1));
    let several: Vec<&NodeStatus> = statuses.filter(|status| status.nodes.len() > 1).collect();
    if several.is_empty() {
        return None;
    }
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_style(TableComponent::HeaderLines, '─')
        .set_style(TableComponent::MiddleHeaderIntersections, '─')
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(HEADER);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for column in NUMBER_COLUMNS {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for status in &several {
        for (index, node) in status.nodes.iter().enumerate() {
            let first = if index == 0 {
                [plain(&status.region), plain(&status.node)]
            } else {
                [plain(""), plain("")]
            };
            let cells = first.into_iter().chain(cells(node));
            table.add_row(Row::from(cells.collect::<Vec<_>>()));
        }
    }
    let mut text = table.trim_fmt();
    for line in several.iter().flat_map(|status| leaderless(status)) {
        text.push('\n');
        text.push_str(&line);
    }
    Some(text)
}

fn cells(node: &RegionNodeStatus) -> [comfy_table::Cell; 5] {
    let state = match (node.state.as_str(), node.silent_ms) {
        ("suspected", Some(silent_ms)) => {
            format!("suspected, silent for {}", text::milliseconds(silent_ms))
        }
        (state, _) => state.to_owned(),
    };
    let led = node.partitions_led.map_or_else(|| "-".to_owned(), text::count);
    let rtt = node.rtt_ms.map_or_else(|| "-".to_owned(), text::milliseconds);
    [
        plain(&node.node),
        coloured(&state),
        plain(&led),
        plain(&rtt),
        plain(node.last_error.as_deref().unwrap_or("")),
    ]
}

/// What nobody leads, as one node sees it, one line for each reason.
fn leaderless(status: &NodeStatus) -> impl Iterator<Item = String> + '_ {
    status.leaderless.iter().map(|group| {
        format!(
            " {}: no leader of partitions {}: {}",
            text::escape(&status.node),
            text::ranges(&group.partitions),
            text::escape(&group.reason)
        )
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;
    use serde_json::{Value, json};

    use super::*;
    use crate::cli::endpoints::Endpoint;

    fn report(nodes: &Value, leaderless: &Value) -> NodeReport {
        let raw = json!({
            "region": "us-east", "node": "us-east-1", "version": "0.1.0", "state": "healthy", "peers": [],
            "nodes": nodes, "leaderless": leaderless,
        });
        let status = NodeStatus::deserialize(&raw).unwrap();
        NodeReport {
            endpoint: Endpoint {
                region: None,
                url: "127.0.0.1:1".parse().unwrap(),
            },
            result: Ok((raw, status)),
        }
    }

    #[test]
    fn nodes_that_have_their_region_to_themselves_are_not_shown_again() {
        let alone = json!([{ "node": "us-east-1", "state": "up", "silent_ms": 0, "partitions_led": 64 }]);
        assert_eq!(render(&[report(&alone, &json!([]))]), None);
    }

    #[test]
    fn who_is_missing_is_shown_with_since_when_and_what_nobody_leads() {
        let nodes = json!([
            { "node": "us-east-1", "state": "up", "silent_ms": 0, "partitions_led": 33 },
            { "node": "us-east-2", "state": "suspected", "silent_ms": 12_000, "partitions_led": 0, "rtt_ms": 0.3,
              "last_error": "connection refused\u{1b}[2J" },
        ]);
        let leaderless = json!([{ "reason": "too few are heard", "partitions": [0, 1, 2, 7] }]);
        let text = render(&[report(&nodes, &leaderless)]).unwrap();
        for expected in [
            "us-east-2",
            "suspected, silent for 12",
            "33",
            "0.3 ms",
            "connection refused\\u{1b}[2J",
            "us-east-1: no leader of partitions 0-2, 7: too few are heard",
        ] {
            assert!(text.contains(expected), "{expected} is missing in\n{text}");
        }
    }
}
