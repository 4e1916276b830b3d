//! Text that others wrote, made safe to show.
//!
//! Alarm names, expressions, rows and error texts can hold terminal escapes or line breaks. They
//! are removed where a text enters the program, so that no log, table, report or prompt has to.

/// Replaces each control character, and those that change the order of text, by `�`.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if is_control(c) { '\u{fffd}' } else { c })
        .collect()
}

/// [`clean`], with all white space, line breaks among it, as single spaces.
pub(super) fn one_line(text: &str) -> String {
    clean(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Controls, line and paragraph separators, and the embeddings, overrides and isolates of
/// bidirectional text (<https://www.unicode.org/reports/tr9/>).
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_is_left() {
        for (text, cleaned, line) in [
            ("orders-alarm", "orders-alarm", "orders-alarm"),
            ("Größe 数", "Größe 数", "Größe 数"),
            ("\u{1b}[31mred\u{1b}[0m", "�[31mred�[0m", "�[31mred�[0m"),
            ("a\r\n  b\tc", "a��  b�c", "a b c"),
            ("\u{9b}2J\u{7f}\0", "�2J��", "�2J��"),
            ("safe\u{202e}txt.exe", "safe�txt.exe", "safe�txt.exe"),
            ("a\u{61c}b", "a�b", "a�b"),
        ] {
            assert_eq!(clean(text), cleaned, "{text:?}");
            assert_eq!(one_line(text), line, "{text:?}");
        }
    }
}
