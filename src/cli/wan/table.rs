//! Links of the relay as a table. Pure: documents in, text out.

use comfy_table::{Cell, CellAlignment, Table, TableComponent, presets};

use crate::cli::text;
use crate::wan::document::{CountsDocument, LinkDocument};

const ADDRESS_HEADER: [&str; 2] = ["listens", "sends to"];

const SHAPE_HEADER: [&str; 6] = ["link", "rtt", "jitter", "loss", "reorder", "bandwidth"];

const COUNTS_HEADER: [&str; 4] = ["passed", "on its way", "lost", "dropped"];

/// Links with where nodes dial them, and their shapes.
pub(crate) fn table_with_addresses(links: &[LinkDocument]) -> String {
    let cells =
        |link: &LinkDocument| [vec![link.listen.clone(), link.target.clone()], shape_cells(link)].concat();
    render(&[&ADDRESS_HEADER[..], &SHAPE_HEADER].concat(), links, cells)
}

/// Links with their shapes, and what has become of their packets.
pub(super) fn table_with_counts(links: &[LinkDocument]) -> String {
    let cells = |link: &LinkDocument| [shape_cells(link), count_cells(&link.counts)].concat();
    render(&[&SHAPE_HEADER[..], &COUNTS_HEADER].concat(), links, cells)
}

/// A line for each link: its regions, then these cells.
fn render(header: &[&str], links: &[LinkDocument], cells: impl Fn(&LinkDocument) -> Vec<String>) -> String {
    let header = [&["from", "to"], header].concat();
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_style(TableComponent::HeaderLines, '─')
        .set_style(TableComponent::MiddleHeaderIntersections, '─')
        .set_header(&header);
    for link in links {
        let ends = vec![link.from.to_string(), link.to.to_string()];
        let row = [ends, cells(link)].concat();
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
        let words = |shown: String| {
            let line = shown.lines().last().unwrap().to_owned();
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let shape = "open 80.5 ms 0 ms 0 % 0 % 100 Mbit/s";
        assert_eq!(
            words(table_with_addresses(std::slice::from_ref(&link))),
            format!("us-east eu-west 127.0.0.1:7201 127.0.0.1:7102 {shape}")
        );
        assert_eq!(
            words(table_with_counts(&[link])),
            format!("us-east eu-west {shape} 5 1 3 12")
        );
    }
}
