//! The file: its text, its TOML syntax, and positions in it.

use std::{fs, io, path::Path};

use toml::de::DeTable;

use super::problem::{Error, Origin, Problem};

const NAME_ANOTHER: &str = "name the file with --config or in KINESIS_AUTOSCALER_CONFIG;\n\
    --sandbox runs the program without one";

/// Reads the file, and says what to do when that fails.
pub(super) fn read(path: &Path) -> Result<String, Error> {
    let bytes = fs::read(path).map_err(|error| {
        let (message, hint) = match error.kind() {
            io::ErrorKind::NotFound => ("there is no such file", NAME_ANOTHER),
            io::ErrorKind::IsADirectory => {
                ("this is a directory, not a configuration file", NAME_ANOTHER)
            }
            io::ErrorKind::PermissionDenied => (
                "no permission to read the configuration file",
                "let the user that runs kinesis-autoscaler read it, or name another with --config or in\n\
                 KINESIS_AUTOSCALER_CONFIG; --sandbox runs the program without one",
            ),
            _ => ("the configuration file cannot be read", NAME_ANOTHER),
        };
        Error::from(vec![Problem {
            hint: Some(hint.to_owned()),
            source: Some(error),
            ..problem(Some(path), None, message)
        }])
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..valid]);
        let position = Some(position(&before, valid));
        Error::from(vec![Problem {
            hint: Some("save it as UTF-8, which TOML requires".to_owned()),
            ..problem(Some(path), position, "the file is not UTF-8 from here on")
        }])
    })
}

/// Parses TOML; `path` is `None` when the text does not come from a file.
pub(super) fn parse<'t>(text: &'t str, path: Option<&Path>) -> Result<DeTable<'t>, Error> {
    let (table, errors) = DeTable::parse_recoverable(text);
    // Later errors are often consequences of the first, and the parser does not sort them.
    let start = |error: &toml::de::Error| error.span().map(|span| span.start);
    let Some(error) = errors.into_iter().min_by_key(start) else {
        return Ok(table.into_inner());
    };
    let position = start(&error).map(|start| position(text, start));
    let message = error.message().trim().replace('\n', "; ");
    let problem = match other_language(text) {
        Some(language) => Problem {
            hint: Some(message),
            ..problem(path, position, &format!("not TOML (looks like {language})"))
        },
        None => problem(path, position, &message),
    };
    Err(Error::from(vec![problem]))
}

/// What a text that is not TOML may be instead, judged by its first line.
fn other_language(text: &str) -> Option<&'static str> {
    let mut lines = text.lines().map(str::trim_end);
    let line = lines.find(|it| !it.is_empty() && !it.starts_with('#'))?;
    let key = line.split_once(':').filter(|(key, value)| {
        let word = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'-');
        key.bytes().all(word) && (value.is_empty() || value.starts_with(' '))
    });
    match line {
        _ if line == "---" || line.starts_with("- ") || key.is_some() => Some("YAML"),
        _ if line.starts_with('{') => Some("JSON"),
        _ => None,
    }
}

fn problem(path: Option<&Path>, position: Option<(usize, usize)>, message: &str) -> Problem {
    Problem {
        origin: Origin::File {
            path: path.map(Path::to_owned),
            position,
        },
        key: String::new(),
        stream: None,
        message: message.to_owned(),
        hint: None,
        source: None,
    }
}

/// Line and column, counted from 1, of the byte at `offset`.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or(before);
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}
