//! The `process_*` metrics of every Prometheus client, read from `/proc` at each scrape.

use std::fs;

use super::page::{Kind, Page};

/// In `/proc`, times are counted in units of 1/100 s (USER_HZ) whatever the kernel's own clock is.
const TICKS_PER_SECOND: f64 = 100.0;

/// Adds the `process_*` series. What cannot be read, as where there is no `/proc`, is left out.
pub fn encode(page: &mut Page) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let system = fs::read_to_string("/proc/stat").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let stat = Stat::parse(&stat);
    let cpu = stat.as_ref().map(|it| it.cpu_seconds);
    let name = "process_cpu_seconds";
    add(page, name, Kind::Counter, "CPU time used, in seconds", cpu);
    let gauges = [
        (
            "process_resident_memory_bytes",
            "Resident memory, in bytes",
            bytes(&status, "VmRSS:"),
        ),
        (
            "process_virtual_memory_bytes",
            "Virtual memory, in bytes",
            bytes(&status, "VmSize:"),
        ),
        ("process_open_fds", "Open file descriptors", open_files()),
        (
            "process_max_fds",
            "The most file descriptors that may be open",
            after(&limits, "Max open files"),
        ),
        (
            "process_start_time_seconds",
            "When the process started, in seconds since 1970",
            stat.and_then(|it| Some(after(&system, "btime")? + it.seconds_after_boot)),
        ),
    ];
    for (name, help, value) in gauges {
        add(page, name, Kind::Gauge, help, value);
    }
}

fn add(page: &mut Page, name: &str, kind: Kind, help: &str, value: Option<f64>) {
    if let Some(value) = value {
        page.common_family(name, kind, help).sample("", value);
    }
}

/// The fields of `/proc/self/stat` that are exported.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    seconds_after_boot: f64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The program's name may hold spaces and brackets; the fields are counted from behind it.
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let seconds = |field: usize| {
            // The first field behind the name is the third of proc_pid_stat(5).
            let ticks: f64 = fields.get(field - 3)?.parse().ok()?;
            Some(ticks / TICKS_PER_SECOND)
        };
        Some(Self {
            cpu_seconds: seconds(14)? + seconds(15)?,
            seconds_after_boot: seconds(22)?,
        })
    }
}

/// The first number after `name`, where a line begins with that.
fn after(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The same, of a size in KiB.
fn bytes(text: &str, name: &str) -> Option<f64> {
    Some(after(text, name)? * 1024.0)
}

fn open_files() -> Option<f64> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count();
    // The directory itself was open while it was read.
    Some(open.saturating_sub(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_moves_no_field() {
        let text = "7 (a (b) c) S 1 7 7 0 -1 4194304 1 0 0 0 150 50 0 0 20 0 3 0 4200 1 1\n";
        let expected = Stat {
            cpu_seconds: 2.0,
            seconds_after_boot: 42.0,
        };
        assert_eq!(Stat::parse(text), Some(expected));
        assert_eq!(Stat::parse(""), None);
        assert_eq!(Stat::parse("7 (short) S 1"), None);
    }

    #[test]
    fn the_number_behind_a_name_is_read() {
        let limits = "Limit  Soft\nMax open files            1024                 524288\n";
        assert_eq!(after(limits, "Max open files"), Some(1024.0));
        assert_eq!(after("Max open files  unlimited", "Max open files"), None);
        assert_eq!(bytes("VmRSS:\t    10 kB\n", "VmRSS:"), Some(10240.0));
    }
}
