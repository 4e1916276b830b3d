//! The shards of a stream as a table with its verdict, and as JSON.

use autoscaler_core::shards::{MoreShards, Shard, Verdict};
use serde_json::{Value, json};

use super::View;
use crate::output::table::{and_more, bar, counted, percent, rows, wrap};

const BAR: usize = 10;
const SHORT_BAR: usize = 5;
/// From here on the table has room for the long bar.
const WIDE: u16 = 100;
/// How many shards a sentence names.
const NAMED: usize = 3;

pub(super) fn text(view: &View, width: Option<u16>, closed: bool) -> String {
    let columns = width.map_or(usize::MAX, usize::from);
    let mut text = wrap(&heading(view), "", "", columns);
    text.push('\n');
    text += &table(view, width, closed);
    text.push('\n');
    for line in [Some(verdict(view)), more_shards(view)]
        .into_iter()
        .flatten()
    {
        text += &wrap(&line, "", "  ", columns);
    }
    for advice in advice(view) {
        text += &wrap(&advice.words, "- ", "  ", columns);
        text.extend(advice.command.map(|it| command(&it, columns)));
    }
    if let Some(error) = &view.metrics_error {
        let line = format!("error: the metrics of the shards cannot be read: {error}");
        text += &wrap(&line, "", "       ", columns);
    }
    if let Some(hint) = &view.hint {
        text += &wrap(&format!("hint: {hint}"), "", "      ", columns);
    }
    text
}

/// The names are a promise to users' scripts.
pub(super) fn json(view: &View) -> Value {
    let shards = view.open.iter().chain(&view.closed).enumerate();
    let shard = |(place, shard): (usize, &Shard)| {
        let used = match shard.open {
            true => view.uses.as_ref().and_then(|uses| uses.get(place)),
            false => None,
        };
        json!({
            "shard": shard.id,
            "open": shard.open,
            "parents": shard.parents,
            // Strings, as AWS writes them: they are too large for most readers of JSON.
            "first_hash_key": shard.first_key.to_string(),
            "last_hash_key": shard.last_key.to_string(),
            "key_share": shard.key_share(),
            "traffic_share": used.and_then(|_| view.traffic_share(place)),
            "usage": used.map(|it| it.mean),
            "usage_peak": used.map(|it| it.peak),
            "rejected": used.and_then(|it| it.rejected),
        })
    };
    let advice = advice(view);
    let advice = advice
        .iter()
        .map(|it| json!({"text": it.words, "command": it.command}));
    let named = view.verdict.shards().iter();
    json!({
        "at": view.at,
        "stream": view.stream,
        "region": view.region,
        "account": view.account,
        "status": view.summary.status.name(),
        "on_demand": view.summary.on_demand,
        "open_shards": view.open.len(),
        "shard_level_metrics": view.monitoring.traffic,
        "shards": shards.map(shard).collect::<Vec<Value>>(),
        "verdict": view.verdict.code(),
        "verdict_shards": named.map(|place| &view.open[*place].id).collect::<Vec<_>>(),
        "more_shards": view.more_shards.map(MoreShards::code),
        "detail": verdict(view),
        "advice": advice.collect::<Vec<Value>>(),
        "metrics_error": view.metrics_error,
    })
}

/// `orders (eu-west-1), ACTIVE: 4 open shards, 2 closed shards`.
fn heading(view: &View) -> String {
    let account = view.account.iter().map(|account| format!(", {account}"));
    let closed = match view.closed.len() {
        0 => String::new(),
        n => format!(", {}", counted(n, "closed shard")),
    };
    format!(
        "{} ({}{}), {}: {}{closed}",
        view.stream,
        view.region,
        account.collect::<String>(),
        view.summary.status.name(),
        counted(view.open.len(), "open shard"),
    )
}

fn table(view: &View, width: Option<u16>, closed: bool) -> String {
    let length = match width.is_none_or(|width| width >= WIDE) {
        true => BAR,
        false => SHORT_BAR,
    };
    let Some(uses) = &view.uses else {
        let shards = view.open.iter().map(|shard| (shard, "open"));
        let others = view.closed.iter().filter(|_| closed);
        let shards = shards.chain(others.map(|shard| (shard, "closed")));
        let cells = shards.map(|(shard, state)| {
            let id = shard.id.clone();
            [id, keys(shard), state.to_owned(), parents(shard)]
        });
        return rows(
            ["SHARD", "KEYS", "STATE", "PARENTS"],
            &cells.collect::<Vec<_>>(),
            width,
        );
    };
    let open = view.open.iter().zip(uses).enumerate();
    let open = open.map(|(place, (shard, used))| {
        let rejected = used
            .rejected
            .map_or_else(|| "?".to_owned(), |n| n.to_string());
        [
            shard.id.clone(),
            keys(shard),
            share(view.traffic_share(place).unwrap_or(0.0)),
            bar(Some(used.mean), length),
            format!("{:>4}", percent(Some(used.peak))),
            rejected,
            parents(shard),
        ]
    });
    let others = view.closed.iter().filter(|_| closed).map(|shard| {
        let [id, keys, parents] = [shard.id.clone(), keys(shard), parents(shard)];
        let none = String::new;
        [
            id,
            keys,
            none(),
            "closed".to_owned(),
            none(),
            none(),
            parents,
        ]
    });
    let header = [
        "SHARD", "KEYS", "TRAFFIC", "USAGE", "PEAK", "REJECTED", "PARENTS",
    ];
    rows(header, &open.chain(others).collect::<Vec<_>>(), width)
}

fn keys(shard: &Shard) -> String {
    share(shard.key_share())
}

fn share(share: f64) -> String {
    format!("{:>5.1}%", share * 100.0)
}

/// `3, 4` for `shardId-000000000003` and `shardId-000000000004`.
fn parents(shard: &Shard) -> String {
    let short = |id: &String| match id.rsplit_once('-') {
        Some((_, number)) if !number.trim_start_matches('0').is_empty() => {
            number.trim_start_matches('0').to_owned()
        }
        Some((_, number)) if !number.is_empty() => "0".to_owned(),
        _ => id.clone(),
    };
    match shard.parents.is_empty() {
        true => "-".to_owned(),
        false => shard
            .parents
            .iter()
            .map(short)
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// What the shards are like.
fn verdict(view: &View) -> String {
    match &view.verdict {
        Verdict::Unknown => {
            "not known: the ranges of hash keys are even; how much each shard is used is not \
             measured"
                .to_owned()
        }
        Verdict::Idle => "idle: nothing was written in the last hour".to_owned(),
        Verdict::Even => "evenly used".to_owned(),
        Verdict::UnevenRanges(places) => format!("uneven ranges: {}", standing_out(view, places)),
        Verdict::Hot(places) => format!("hot: {}", standing_out(view, places)),
    }
}

/// Whether more shards would help.
fn more_shards(view: &View) -> Option<String> {
    let busiest = view.uses.iter().flatten().map(|it| it.peak);
    let busiest = percent(Some(busiest.fold(0.0, f64::max)));
    if view.verdict == Verdict::Idle {
        return None;
    }
    Some(match view.more_shards? {
        MoreShards::NotNeeded => format!(
            "more shards are not needed: none was used above {busiest} in its busiest minute"
        ),
        MoreShards::Help => {
            format!("more shards help: one was used up to {busiest} in its busiest minute")
        }
        MoreShards::RarelyHelp => {
            "more shards help only if several partition keys share the traffic of such a shard: \
             a key is always in one shard"
                .to_owned()
        }
    })
}

/// The command, with its options on lines of at most `width`, so that it can be copied.
fn command(command: &str, width: usize) -> String {
    let mut lines = String::new();
    let mut line = "   ".to_owned();
    let options = command.split(" --").enumerate();
    let options = options.map(|(at, part)| match at {
        0 => format!(" {part}"),
        _ => format!(" --{part}"),
    });
    for option in options {
        // The last two columns are for the backslash.
        if line.len() + option.len() + 2 > width && !line.trim().is_empty() {
            lines += &format!("{line} \\\n");
            line = "     ".to_owned();
        }
        line += &option;
    }
    lines + &line + "\n"
}

/// `shardId-000000000000 takes 37.5% of the traffic with 25.0% of the hash keys; …`.
fn standing_out(view: &View, places: &[usize]) -> String {
    let one = |place: &usize| {
        let shard = &view.open[*place];
        let keys = format!("{:.1}%", shard.key_share() * 100.0);
        match view.traffic_share(*place) {
            Some(share) => {
                let (id, share) = (&shard.id, share * 100.0);
                format!("{id} takes {share:.1}% of the traffic with {keys} of the hash keys")
            }
            None => format!("{} has {keys} of the hash keys", shard.id),
        }
    };
    let named: Vec<String> = places.iter().take(NAMED).map(one).collect();
    named.join("; ") + &and_more(places.len().saturating_sub(NAMED))
}

/// Something to do.
struct Advice {
    words: String,
    command: Option<String>,
}

fn advice(view: &View) -> Vec<Advice> {
    let mut all = Vec::new();
    let mut add = |words: String, command| all.push(Advice { words, command });
    let (stream, region) = (&view.stream, &view.region);
    let split = view.verdict.shards().first().and_then(|place| {
        let shard = &view.open[*place];
        let key = shard.second_half()?;
        Some(format!(
            "aws kinesis split-shard --region {region} --stream-name {stream} \
             --shard-to-split {} --new-starting-hash-key {key}",
            shard.id
        ))
    });
    let split = split.filter(|_| !view.summary.on_demand);
    match &view.verdict {
        Verdict::UnevenRanges(_) if !view.summary.on_demand => {
            let words = "any scaling makes all ranges equal";
            add(
                words.to_owned(),
                Some(format!("kinesis-autoscaler scale {stream} --by +1")),
            );
            if let Some(split) = split {
                add("or split that shard".to_owned(), Some(split));
            }
        }
        Verdict::Hot(_) => {
            if let Some(split) = split {
                let words = "split that shard, if several partition keys share its traffic; the \
                    next scaling makes all ranges equal again";
                add(words.to_owned(), Some(split));
            }
            let words = "spread the busy partition keys, for example with a random suffix";
            add(words.to_owned(), None);
            let words =
                "or use on-demand mode with the record distribution AUTO, which ignores keys";
            add(words.to_owned(), None);
        }
        Verdict::UnevenRanges(_) | Verdict::Unknown | Verdict::Idle | Verdict::Even => {}
    }
    if !view.monitoring.traffic {
        let month = view.prices.shard_metric_month;
        let all = month * 2.0 * view.open.len() as f64;
        let words = format!(
            "turn on the shard-level metrics to see what each shard is used: two metrics of each \
             shard, for ${month:.2} a month each ({}), make about ${all:.2} a month",
            view.prices.source
        );
        let command = format!(
            "aws kinesis enable-enhanced-monitoring --region {region} --stream-name {stream} \
             --shard-level-metrics IncomingBytes IncomingRecords"
        );
        add(words, Some(command));
    }
    all
}
