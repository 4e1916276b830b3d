//! Windows, under `[[windows]]` for every stream and as `windows = [{…}]` under `[[streams]]`.

use autoscaler_core::window::{Start, Window};
use jiff::{SignedDuration, tz::TimeZone};
use toml::de::{DeArray, DeTable};

use super::{
    array::{self, Array, Shape},
    keys::WindowKeys,
    layers::WINDOWS,
    problem::{Complaint, Problems, wrong},
    read::unknown_key,
    settings::Settings,
    written::Written,
};

pub(super) const SHAPE: Shape = Shape {
    file: "each window starts with [[windows]], in two pairs of brackets",
    variable: "all windows are set at once: [{when = \"0 30 7 * * *\", for = \"10h\", min_shards = 8}]",
};

/// How the windows of one stream are written.
pub(super) const OF_STREAM: &str =
    "write windows = [{ when = \"0 30 7 * * *\", for = \"10h\", min_shards = 8 }]";

/// Reads the windows of every stream; `max_shards` is that of `[defaults]`.
pub(super) fn of_all(array: &Array<'_>, max_shards: u32, problems: &mut Problems) -> Vec<Window> {
    match array.entries() {
        Ok(None) => Vec::new(),
        Ok(Some(entries)) => {
            let reading = Reading {
                path: WINDOWS.to_owned(),
                shape: array.shape(),
                max: ("defaults.max_shards", max_shards),
                problems,
            };
            reading.windows(entries)
        }
        Err(complaint) => {
            problems.add(WINDOWS, complaint);
            Vec::new()
        }
    }
}

/// Reads the windows of one stream; `path` is that of its entry.
pub(super) fn of_stream(
    entries: &DeArray<'_>,
    path: &str,
    max_shards: u32,
    problems: &mut Problems,
) -> Vec<Window> {
    let reading = Reading {
        path: format!("{path}.{WINDOWS}"),
        shape: OF_STREAM,
        max: ("max_shards of the stream", max_shards),
        problems,
    };
    reading.windows(entries)
}

/// Windows that are being read.
struct Reading<'a> {
    path: String,
    shape: &'static str,
    /// The bound that holds where a window has none, and what it is called.
    max: (&'static str, u32),
    problems: &'a mut Problems,
}

impl Reading<'_> {
    fn windows(mut self, entries: &DeArray<'_>) -> Vec<Window> {
        let mut windows = Vec::with_capacity(entries.len());
        for (i, value) in entries.iter().enumerate() {
            let path = format!("{}[{i}]", self.path);
            let table = array::table(value.get_ref(), &path, self.shape, self.problems);
            windows.extend(table.and_then(|table| self.window(table, &path)));
        }
        windows
    }

    fn window(&mut self, table: &DeTable<'_>, path: &str) -> Option<Window> {
        let mut keys = WindowKeys::default();
        let mut all_known = true;
        for (name, value) in table {
            let name = name.get_ref().as_ref();
            match keys.set(name, &Written::of_toml(value.get_ref())) {
                Some(Ok(())) => {}
                Some(Err(complaint)) => self.problems.add(format!("{path}.{name}"), complaint),
                None => {
                    unknown_key(WINDOWS, path, name, self.problems);
                    all_known = false;
                }
            }
        }
        let has = |key: &str| table.contains_key(key);
        for (key, complaint) in self.relations(&keys, has) {
            match key {
                // A misspelt key may be what it changes.
                "" if !all_known => {}
                "" => self.problems.add(path, complaint),
                key => self.problems.add(format!("{path}.{key}"), complaint),
            }
        }
        window(keys)
    }

    fn relations(
        &self,
        keys: &WindowKeys,
        has: impl Fn(&str) -> bool,
    ) -> Vec<(&'static str, Complaint)> {
        let mut found = Vec::new();
        match (has("when"), has("at")) {
            (true, true) => found.push((
                "at",
                wrong("a window has either `when` or `at`, this one has both")
                    .hint("use `when` for a window that recurs, `at` for one that opens once"),
            )),
            (false, false) => found.push((
                "when",
                wrong("the window has neither `when` nor `at`")
                    .hint("write when = \"0 30 7 * * MON-FRI\", or at = \"2026-11-27T06:00:00Z\""),
            )),
            _ => {}
        }
        if !has("for") {
            let complaint = wrong("the window has no `for`");
            found.push((
                "for",
                complaint.hint("say how long it is open: for = \"10h\""),
            ));
        }
        if !["min_shards", "max_shards", "hold"].into_iter().any(&has) {
            let complaint = wrong("the window changes nothing");
            found.push(("", complaint.hint("set min_shards, max_shards or hold")));
        }
        let own = keys.max_shards.map(|max| ("max_shards", max));
        let (name, max) = own.unwrap_or(self.max);
        if let Some(min) = keys.min_shards.filter(|min| *min > max) {
            let complaint = wrong(format!("min_shards is {min}, above {name}, which is {max}"));
            let hint = "lower it, or set a higher max_shards for the window";
            found.push(("min_shards", complaint.hint(hint)));
        }
        found
    }
}

/// The window, if what it needs is there.
fn window(keys: WindowKeys) -> Option<Window> {
    let start = match (keys.at, keys.when) {
        (Some(at), _) => Start::Once(at),
        (None, Some(times)) => Start::Recurring {
            times,
            zone: keys.timezone.unwrap_or(TimeZone::UTC),
        },
        (None, None) => return None,
    };
    Some(Window {
        start,
        length: SignedDuration::try_from(keys.r#for?).ok()?,
        ahead: SignedDuration::try_from(keys.ahead).ok()?,
        floor: keys.min_shards,
        cap: keys.max_shards,
        hold: keys.hold,
    })
}
