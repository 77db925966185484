//! Links of the relay as a table. Pure: documents in, text out.

use comfy_table::{Cell, CellAlignment, Table, TableComponent, presets};

use crate::cli::text;
use crate::wan::document::{CountsDocument, LinkDocument, PathDocument};

const ADDRESS_HEADER: [&str; 2] = ["listens", "sends to"];

const SHAPE_HEADER: [&str; 6] = ["link", "rtt", "jitter", "loss", "reorder", "bandwidth"];

const COUNTS_HEADER: [&str; 4] = ["passed", "on its way", "lost", "dropped"];

/// Links with where nodes dial them, and their shapes: a line for each node that is dialled.
pub(crate) fn table_with_addresses(links: &[LinkDocument]) -> String {
    let rows = links.iter().flat_map(|link| {
        let row = |path: &PathDocument| {
            let ends = vec![link.from.to_string(), link.dialled(path)];
            let addresses = vec![path.listen.clone(), path.target.clone()];
            [ends, addresses, shape_cells(link)].concat()
        };
        link.paths.iter().map(row)
    });
    render(&[&ADDRESS_HEADER[..], &SHAPE_HEADER].concat(), rows)
}

/// Links with their shapes, and what has become of their packets.
pub(super) fn table_with_counts(links: &[LinkDocument]) -> String {
    let rows = links.iter().map(|link| {
        let ends = vec![link.from.to_string(), link.to.to_string()];
        [ends, shape_cells(link), count_cells(&link.counts)].concat()
    });
    render(&[&SHAPE_HEADER[..], &COUNTS_HEADER].concat(), rows)
}

/// A table of rows that begin with the ends of a link.
fn render(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let header = [&["from", "to"], header].concat();
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_style(TableComponent::HeaderLines, '─')
        .set_style(TableComponent::MiddleHeaderIntersections, '─')
        .set_header(&header);
    for row in rows {
        table.add_row(row.iter().map(|cell| Cell::new(text::escape(cell))));
    }
    // Quantities are compared from the right; they stand behind the last column of words.
    let last_words = header.iter().position(|name| *name == "link").unwrap_or(0);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if index > last_words {
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

    fn path(node: &str, number: u16) -> PathDocument {
        PathDocument {
            node: node.parse().unwrap(),
            listen: format!("127.0.0.1:{}", 7200 + number),
            target: format!("127.0.0.1:{}", 7002 + 100 * number),
        }
    }

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
            paths: vec![path("eu-west-1", 1)],
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
        let words = |shown: String| {
            let line = shown.lines().last().unwrap().to_owned();
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let shape = "open 80.5 ms 0 ms 0 % 0 % 100 Mbit/s";
        assert_eq!(
            words(table_with_addresses(std::slice::from_ref(&link))),
            format!("us-east eu-west 127.0.0.1:7201 127.0.0.1:7102 {shape}")
        );
        let two = LinkDocument {
            paths: vec![path("eu-west-1", 1), path("eu-west-2", 2)],
            ..link.clone()
        };
        assert_eq!(
            words(table_with_addresses(std::slice::from_ref(&two))),
            format!("us-east eu-west-2 127.0.0.1:7202 127.0.0.1:7202 {shape}")
        );
        assert_eq!(
            table_with_counts(&[two]),
            table_with_counts(std::slice::from_ref(&link))
        );
        assert_eq!(
            words(table_with_counts(&[link])),
            format!("us-east eu-west {shape} 5 1 3 12")
        );
    }
}
