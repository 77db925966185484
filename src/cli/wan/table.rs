//! Links of the relay as a table. Pure: documents in, text out.

use comfy_table::{Cell, CellAlignment, Table, TableComponent, presets};

use crate::cli::text;
use crate::wan::document::{CountsDocument, LinkDocument};

const SHAPE_HEADER: [&str; 10] = [
    "from",
    "to",
    "listens",
    "sends to",
    "link",
    "rtt",
    "jitter",
    "loss",
    "reorder",
    "bandwidth",
];

const COUNTS_HEADER: [&str; 4] = ["passed", "on its way", "lost", "dropped"];

/// The first column that holds a quantity, which are compared from the right.
const FIRST_NUMBER_COLUMN: usize = 5;

/// Links with their addresses and shapes.
pub(crate) fn table(links: &[LinkDocument]) -> String {
    render(&SHAPE_HEADER, links.iter().map(shape_cells))
}

/// Links with what has become of their packets, too.
pub(super) fn table_with_counts(links: &[LinkDocument]) -> String {
    let header: Vec<&str> = SHAPE_HEADER.into_iter().chain(COUNTS_HEADER).collect();
    let cells = |link| [shape_cells(link), count_cells(&link.counts)].concat();
    render(&header, links.iter().map(cells))
}

fn render(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_style(TableComponent::HeaderLines, '─')
        .set_style(TableComponent::MiddleHeaderIntersections, '─')
        .set_header(header);
    for row in rows {
        table.add_row(row.iter().map(|cell| Cell::new(text::escape(cell))));
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if index >= FIRST_NUMBER_COLUMN {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

fn shape_cells(link: &LinkDocument) -> Vec<String> {
    let shape = &link.shape;
    let bandwidth = if shape.bandwidth_mbit > 0.0 {
        format!("{} Mbit/s", shape.bandwidth_mbit)
    } else {
        "-".to_owned()
    };
    vec![
        link.from.to_string(),
        link.to.to_string(),
        link.listen.clone(),
        link.target.clone(),
        if shape.cut { "cut" } else { "open" }.to_owned(),
        format!("{} ms", shape.round_trip_ms),
        format!("{} ms", shape.jitter_ms),
        format!("{} %", shape.loss_percent),
        format!("{} %", shape.reorder_percent),
        bandwidth,
    ]
}

/// Lost is what the link was told to lose; dropped is what had no room or nobody who takes it.
fn count_cells(counts: &CountsDocument) -> Vec<String> {
    let dropped = &counts.dropped;
    [
        counts.packets,
        counts.held_packets,
        dropped.cut + dropped.loss,
        dropped.queue + dropped.overflow + dropped.send,
    ]
    .map(text::count)
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LinkShape;
    use crate::wan::document::{DroppedDocument, ShapeDocument};

    #[test]
    fn a_link_is_a_line_with_its_shape_and_counts() {
        let shape = ShapeDocument {
            round_trip_ms: 80.5,
            bandwidth_mbit: 100.0,
            ..ShapeDocument::from(LinkShape::default())
        };
        let link = LinkDocument {
            from: "us-east".parse().unwrap(),
            to: "eu-west".parse().unwrap(),
            listen: "127.0.0.1:7201".to_owned(),
            target: "127.0.0.1:7102".to_owned(),
            shape,
            counts: CountsDocument {
                packets: 5,
                bytes: 500,
                held_packets: 1,
                dropped: DroppedDocument {
                    cut: 1,
                    loss: 2,
                    queue: 3,
                    overflow: 4,
                    send: 5,
                },
            },
        };
        let shown = table_with_counts(&[link]);
        let words: Vec<&str> = shown.lines().last().unwrap().split_whitespace().collect();
        let expected =
            "us-east eu-west 127.0.0.1:7201 127.0.0.1:7102 open 80.5 ms 0 ms 0 % 0 % 100 Mbit/s 5 1 3 12";
        assert_eq!(words.join(" "), expected);
    }
}
