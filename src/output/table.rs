//! Tables and text for terminals: columns, line breaks, plurals.

use std::{fmt::Display, time::Duration};

use comfy_table::{Table, TableStyle};

/// The least width into which the last column is broken.
const LEAST_OF_LAST: usize = 24;

/// Rows under their header, with the last column broken at spaces. Where `width` is too narrow for
/// that, each row is a paragraph, with its last cell below the others.
pub fn rows<const N: usize>(header: [&str; N], rows: &[[String; N]], width: Option<u16>) -> String {
    let widest = |text: &str| text.lines().map(|line| line.chars().count()).max();
    let mut widths = [0; N];
    let cells = rows.iter().map(|row| row.each_ref().map(String::as_str));
    for row in std::iter::once(header).chain(cells) {
        for (column, cell) in widths.iter_mut().zip(row) {
            *column = (*column).max(widest(cell).unwrap_or(0));
        }
    }
    let (last, fixed) = match widths.split_last() {
        Some((last, others)) => (*last, others.iter().map(|column| column + 2).sum::<usize>()),
        None => return String::new(),
    };
    let width = width.map_or(usize::MAX, usize::from);
    let room = width.saturating_sub(fixed);
    let words = rows.iter().filter_map(|row| row.last());
    let words = words.flat_map(|cell| cell.split_whitespace());
    let longest = words.map(|word| word.chars().count()).max();
    if room < last.min(LEAST_OF_LAST.max(longest.unwrap_or(0))) {
        return rows.iter().map(|row| stacked(row, width)).collect();
    }
    let mut table = table();
    table.set_header(header);
    for row in rows {
        let mut row = row.clone();
        if let Some(last) = row.last_mut() {
            *last = last.lines().map(|line| wrap(line, "", "", room)).collect();
            last.truncate(last.trim_end().len());
        }
        table.add_row(row);
    }
    render(&mut table)
}

fn stacked(row: &[String], width: usize) -> String {
    let Some((last, cells)) = row.split_last() else {
        return String::new();
    };
    let mut text = wrap_words(cells.iter().map(String::as_str), "  ", ("", "  "), width);
    for line in last.lines() {
        text.push_str(&wrap(line, "    ", "    ", width));
    }
    text
}

/// A table in the style of all commands: no frame, columns two spaces apart.
pub fn table() -> Table {
    let mut table = Table::new();
    table.load_style(TableStyle::new());
    table
}

/// The table's lines: columns two spaces apart, and no space at the ends.
pub fn render(table: &mut Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned() + "\n");
    lines.collect()
}

/// Breaks `text` at spaces into lines of at most `width`; a longer word stays whole, so that it can
/// be copied.
pub fn wrap(text: &str, first: &str, next: &str, width: usize) -> String {
    wrap_words(text.split_whitespace(), " ", (first, next), width)
}

/// Joins words with `space` into lines of at most `width`, the first and the next lines indented as
/// given.
fn wrap_words<'a>(
    words: impl Iterator<Item = &'a str>,
    space: &str,
    (first, next): (&str, &str),
    width: usize,
) -> String {
    let mut lines = String::new();
    let mut line = first.to_owned();
    let mut empty = true;
    for word in words {
        let gap = if empty { "" } else { space };
        let length = line.chars().count() + gap.len() + word.chars().count();
        if length > width && !empty {
            lines.push_str(&line);
            lines.push('\n');
            line = next.to_owned();
            empty = true;
        }
        line.push_str(if empty { "" } else { space });
        line.push_str(word);
        empty = false;
    }
    lines + &line + "\n"
}

/// `[#####-----] 52%`; it can be read without colour.
pub fn bar(usage: Option<f64>, width: usize) -> String {
    let Some(usage) = usage else {
        return "?".to_owned();
    };
    // The cast saturates; a bar is never longer than its frame.
    let filled = ((usage * width as f64).round() as usize).min(width);
    let (full, rest) = ("#".repeat(filled), "-".repeat(width - filled));
    format!("[{full}{rest}] {:>4}", percent(Some(usage)))
}

/// `52%`, or `?` where it is not known.
pub fn percent(usage: Option<f64>) -> String {
    usage.map_or_else(|| "?".to_owned(), |usage| format!("{:.0}%", usage * 100.0))
}

/// `1 shard`, `2 shards`.
pub fn counted(n: impl Display, noun: &str) -> String {
    let n = n.to_string();
    let ending = if n == "1" { "" } else { "s" };
    format!("{n} {noun}{ending}")
}

/// ` and 3 more`, or nothing.
pub fn and_more(more: usize) -> String {
    match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    }
}

/// Whole milliseconds, for reports.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
