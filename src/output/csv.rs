//! Cells of CSV.

/// A cell that a spreadsheet shows unchanged: anyone with access to the table may have written it.
///
/// A quote mark is put before a text that a spreadsheet would run as a formula, control characters
/// become spaces, and the cell is quoted where the format requires it, with inner quotes doubled.
pub fn cell(value: &str) -> String {
    let mut value = value.replace(char::is_control, " ");
    if value.trim_start().starts_with(['=', '+', '-', '@']) {
        value.insert(0, '\'');
    }
    if value.contains([',', '"']) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_have_to_be_and_never_run() {
        for (value, expected) in [
            ("", ""),
            ("plain text", "plain text"),
            ("a,b", "\"a,b\""),
            ("say \"no\"", "\"say \"\"no\"\"\""),
            ("two\nlines", "two lines"),
            ("\u{1b}[31mred\u{7}", " [31mred "),
            (
                "=HYPERLINK(\"http://x\",1)",
                "\"'=HYPERLINK(\"\"http://x\"\",1)\"",
            ),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "' =1"),
            ("1=1", "1=1"),
        ] {
            assert_eq!(cell(value), expected, "{value:?}");
        }
    }
}
