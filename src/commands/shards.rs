//! `shards`: the shards of a stream, what each of them is used, and whether more would help.

mod render;

use std::{collections::BTreeSet, sync::Arc};

use autoscaler_core::{
    datetime::after,
    facts::{StreamSummary, Traffic},
    priority::Priority,
    shards::{MoreShards, Shard, ShardUse, Verdict, judge},
};
use jiff::{SignedDuration, Timestamp};

use crate::{
    aws::{self, Extra, Monitoring, Window},
    cli::{self, Output},
    commands::{pause, scale, subscriptions, subscriptions::failed_call},
    config::Prices,
    output::{
        self,
        error::{Exit, Failure},
    },
    reconcile::context::Context,
};

/// How far back the traffic is read.
const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// How late metrics may arrive; a younger minute may be incomplete.
const METRICS_LATE_BY: SignedDuration = SignedDuration::from_mins(1);

/// A stream's shards at one time.
#[derive(Clone, Debug)]
pub struct View {
    pub at: Timestamp,
    pub stream: String,
    pub region: String,
    pub account: Option<String>,
    pub summary: StreamSummary,
    pub monitoring: Monitoring,
    /// By their hash keys.
    pub open: Vec<Shard>,
    pub closed: Vec<Shard>,
    /// What each open shard was sent in the last hour, where that was measured.
    pub uses: Option<Vec<ShardUse>>,
    /// Why the metrics could not be read.
    pub metrics_error: Option<String>,
    pub hint: Option<String>,
    pub verdict: Verdict,
    pub more_shards: Option<MoreShards>,
    pub prices: Prices,
}

/// Reads the shards of one stream and prints them.
pub async fn run(
    context: &Arc<Context>,
    args: &cli::Shards,
    output: Output,
) -> Result<Exit, Failure> {
    let view = gather(context, args).await?;
    output::print(&match output {
        Output::Json => view.to_json() + "\n",
        _ => view.to_text(output::terminal_width(), args.closed),
    })?;
    Ok(match view.metrics_error {
        Some(_) => Exit::Failed,
        None => Exit::Done,
    })
}

/// Reads the shards of the stream that `args` names.
pub async fn gather(context: &Context, args: &cli::Shards) -> Result<View, Failure> {
    let (region, account) = (args.region.as_deref(), args.account.as_deref());
    let id = scale::find(context, &args.stream, region, account).await?;
    let mut names = pause::names(context, &[id]).await?;
    let stream = names.remove(&id).unwrap_or_default();
    let subscription = context.subscription(id);
    let clients = context.clients_of(subscription);
    let region = subscriptions::region(context, subscription);
    let failed = |error| Failure::new(Exit::Failed, failed_call(&stream, region, error));
    let kinesis = &clients.kinesis;
    let described = kinesis.summary_and_monitoring(&stream, Priority::AUDIT);
    let (summary, monitoring) = described.await.map_err(failed)?;
    let mut shards = kinesis.shards(&stream).await.map_err(failed)?;
    shards.sort_by_key(|shard| shard.first_key);
    let (open, closed): (Vec<Shard>, Vec<Shard>) = shards.into_iter().partition(|it| it.open);
    let now = context.clock.now();
    let ids: Vec<&str> = open.iter().map(|shard| &*shard.id).collect();
    let extra = Extra {
        rejected: monitoring.rejected,
        ..Extra::default()
    };
    let read = match monitoring.traffic {
        true => {
            let cloudwatch = &clients.cloudwatch;
            let traffic = cloudwatch.traffic_of_shards(&stream, &ids, extra, last_hour(now));
            Some(traffic.await.map(|traffic| uses(&traffic, monitoring)))
        }
        false => None,
    };
    let (uses, error) = match read.transpose() {
        Ok(uses) => (uses, None),
        Err(error) => (None, Some(error)),
    };
    let (verdict, more_shards) = judge(&open, uses.as_deref());
    Ok(View {
        at: now,
        stream: stream.clone(),
        region: region.to_owned(),
        account: subscription.account.name().map(str::to_owned),
        summary,
        monitoring,
        open,
        closed,
        uses,
        hint: error.as_ref().and_then(aws::Error::hint),
        metrics_error: error.map(|error| error.to_string()),
        verdict,
        more_shards,
        prices: context.config.prices.clone(),
    })
}

/// The last 60 minutes whose metrics have arrived.
fn last_hour(now: Timestamp) -> Window {
    let until = after(now, -METRICS_LATE_BY);
    let until = after(until, -SignedDuration::from_secs(until.as_second() % 60));
    Window {
        from: after(until, -HOUR),
        until,
        period_seconds: 60,
    }
}

fn uses(traffic: &[Traffic], monitoring: Monitoring) -> Vec<ShardUse> {
    let points = traffic.iter().flat_map(|it| [&it.bytes, &it.records]);
    let times = points.flat_map(|series| series.points.iter().map(|(at, _)| *at));
    let minutes = times.collect::<BTreeSet<Timestamp>>().len();
    let of = |traffic: &Traffic| {
        let used = ShardUse::of(traffic, minutes);
        ShardUse {
            rejected: used.rejected.filter(|_| monitoring.rejected),
            ..used
        }
    };
    traffic.iter().map(of).collect()
}

impl View {
    /// The object that `--output json` prints.
    pub fn to_json(&self) -> String {
        render::json(self).to_string()
    }

    /// For a terminal of `width` columns, or for a pipe; with the closed shards if `closed`.
    pub fn to_text(&self, width: Option<u16>, closed: bool) -> String {
        render::text(self, width, closed)
    }

    /// The share of the stream's traffic that the open shard at this place was sent.
    fn traffic_share(&self, place: usize) -> Option<f64> {
        let uses = self.uses.as_ref()?;
        let total: f64 = uses.iter().map(|it| it.mean).sum();
        (total > 0.0).then(|| uses[place].mean / total)
    }
}
