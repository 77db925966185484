//! The table of `atoll status`. Pure but for the terminal's width: reports in, text out.

use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Row, Table, TableComponent, presets};

use super::NodeReport;
use crate::cli::client::cluster::{NodeStatus, PeerStatus};
use crate::cli::text;

const HEADER: [&str; 10] = [
    "region",
    "node",
    "state",
    "version",
    "peer",
    "link",
    "rtt",
    "lag",
    "backlog",
    "last error",
];

/// Columns of the node itself; those of a peer follow.
const NODE_COLUMNS: usize = 4;

/// Columns that hold quantities, which are compared from the right.
const NUMBER_COLUMNS: [usize; 3] = [6, 7, 8];

/// Columns of a terminal that give errors room beside the rest; in a narrower one they stand below the table.
const WIDTH_WITH_ERRORS_MIN: u16 = 130;

/// Draws the table, in colour on a terminal.
pub(super) fn render(reports: &[NodeReport]) -> String {
    // No width means that nobody looks at a terminal: lines may be as long as they like.
    let width = Table::new().width();
    render_for(reports, width.is_none_or(|width| width >= WIDTH_WITH_ERRORS_MIN))
}

fn render_for(reports: &[NodeReport], errors_inside: bool) -> String {
    let columns = if errors_inside {
        HEADER.len()
    } else {
        HEADER.len() - 1
    };
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_style(TableComponent::HeaderLines, '─')
        .set_style(TableComponent::MiddleHeaderIntersections, '─')
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(&HEADER[..columns]);
    // Close together, all but the errors fit the 80 columns of a plain terminal.
    let gap = if errors_inside { 2 } else { 1 };
    for column in table.column_iter_mut() {
        column.set_padding((0, gap));
    }
    for column in NUMBER_COLUMNS {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for report in reports {
        for mut cells in rows(report) {
            cells.truncate(columns);
            table.add_row(Row::from(cells));
        }
    }
    let mut text = table.trim_fmt();
    if !errors_inside {
        for error in reports.iter().flat_map(errors) {
            text.push('\n');
            text.push_str(&error);
        }
    }
    text
}

/// One row for each peer of a node, or a single one.
fn rows(report: &NodeReport) -> Vec<Vec<Cell>> {
    match &report.result {
        Ok((_, status)) if status.peers.is_empty() => vec![node_cells(status)],
        Ok((_, status)) => {
            let with_peer = |(index, peer): (usize, &PeerStatus)| {
                // The node's own cells stand in its first line only, so that nodes can be told apart at a glance.
                let mut cells = if index == 0 {
                    node_cells(status)
                } else {
                    vec![Cell::new(""); NODE_COLUMNS]
                };
                cells.extend(peer_cells(peer));
                cells
            };
            status.peers.iter().enumerate().map(with_peer).collect()
        }
        Err(error) => {
            let region = report.endpoint.region.as_deref().unwrap_or("?");
            let url = report.endpoint.url.to_string();
            let mut cells = vec![
                plain(region),
                plain(&url),
                Cell::new("unreachable").fg(Color::Red),
            ];
            cells.resize(HEADER.len() - 1, Cell::new(""));
            cells.push(plain(&error.reason()));
            vec![cells]
        }
    }
}

/// The errors of a node's report, one line each.
fn errors(report: &NodeReport) -> Vec<String> {
    match &report.result {
        Ok((_, status)) => {
            let line = |peer: &PeerStatus| {
                let error = peer.last_error.as_deref()?;
                let (node, peer) = (text::escape(&status.node), text::escape(&peer.region));
                Some(format!(" {node}, link to {peer}: {}", text::escape(error)))
            };
            status.peers.iter().filter_map(line).collect()
        }
        Err(error) => vec![format!(
            " {}: {}",
            report.endpoint.url,
            text::escape(&error.reason())
        )],
    }
}

fn node_cells(status: &NodeStatus) -> Vec<Cell> {
    vec![
        plain(&status.region),
        plain(&status.node),
        coloured(&status.state),
        plain(&status.version),
    ]
}

fn peer_cells(peer: &PeerStatus) -> Vec<Cell> {
    // The peer's state is worth a word only when it says more than the link does.
    let name = match peer.state.as_deref() {
        Some(state) if state != "healthy" && peer.link == "up" => format!("{} ({state})", peer.region),
        _ => peer.region.clone(),
    };
    let span = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), text::milliseconds);
    vec![
        plain(&name),
        coloured(&peer.link),
        plain(&span(peer.rtt_ms)),
        plain(&lag(peer)),
        plain(&peer.backlog_changes.map_or_else(|| "-".to_owned(), text::count)),
        plain(peer.last_error.as_deref().unwrap_or("")),
    ]
}

/// How far behind; with what is missing and how long that takes, where something is.
fn lag(peer: &PeerStatus) -> String {
    let lag = peer.lag_ms.map_or_else(|| "-".to_owned(), text::milliseconds);
    match (peer.behind_changes, peer.catch_up_ms) {
        (None | Some(0), _) => lag,
        (Some(behind), None) => format!("{lag} ({} missing)", text::count(behind)),
        (Some(behind), Some(ms)) => format!(
            "{lag} ({} missing, {} left)",
            text::count(behind),
            text::milliseconds(ms)
        ),
    }
}

/// Text from a node, as it may be shown.
pub(super) fn plain(content: &str) -> Cell {
    Cell::new(text::escape(content))
}

/// A state in its colour.
pub(super) fn coloured(state: &str) -> Cell {
    let colour = match state {
        "healthy" | "up" => Color::Green,
        "degraded" | "recovering" | "paused" => Color::Yellow,
        _ => Color::Red,
    };
    plain(state).fg(colour)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;
    use serde_json::json;

    use super::*;
    use crate::cli::endpoints::Endpoint;

    #[test]
    fn what_is_missing_is_shown_with_the_time_that_it_takes() {
        let shown = |behind: u64, catch_up: serde_json::Value| {
            let raw = json!({ "region": "eu", "link": "up", "lag_ms": 4000, "behind_changes": behind,
                              "catch_up_ms": catch_up });
            lag(&PeerStatus::deserialize(&raw).unwrap())
        };
        assert_eq!(shown(0, json!(null)), text::milliseconds(4000.0));
        assert!(shown(1200, json!(null)).ends_with(" (1 200 missing)"));
        assert!(
            shown(7, json!(9000)).contains("7 missing, "),
            "{}",
            shown(7, json!(9000))
        );
    }

    #[test]
    fn errors_stand_below_the_table_where_there_is_no_room_beside_it() {
        let raw = json!({
            "region": "us-east", "node": "us-east-1", "version": "0.1.0", "state": "degraded",
            "peers": [{ "region": "ap-south", "state": "unhealthy", "link": "down", "lag_ms": 93_000,
                        "last_error": "connection refused\u{1b}[2J" }],
        });
        let status = NodeStatus::deserialize(&raw).unwrap();
        let endpoint = Endpoint {
            region: None,
            url: "127.0.0.1:1".parse().unwrap(),
        };
        let reports = [NodeReport {
            endpoint,
            result: Ok((raw, status)),
        }];

        let wide = render_for(&reports, true);
        assert!(
            wide.contains("last error") && wide.contains("connection refused\\u{1b}[2J"),
            "{wide}"
        );
        let narrow = render_for(&reports, false);
        assert!(!narrow.contains("last error"), "{narrow}");
        assert!(
            narrow.ends_with(" us-east-1, link to ap-south: connection refused\\u{1b}[2J"),
            "{narrow}"
        );
        assert!(
            narrow.contains("ap-south") && narrow.contains("1 min 33 s"),
            "{narrow}"
        );
    }
}
