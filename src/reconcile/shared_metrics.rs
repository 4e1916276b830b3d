//! Metrics that several streams of an account and Region are about to need in one tick: the first
//! that asks has them read for all of them, with one call.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use autoscaler_core::{
    decide::may_reshard, facts::Facts, priority::Priority, subscription::Subscription,
};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::OnceCell;

use super::inspect::metrics_needed;
use crate::aws::{self, CloudWatch, Extra, STREAMS_PER_CALL, StreamMetrics, Window};

/// A decision does not rest on metrics that were read longer ago.
const READ_WITHIN: SignedDuration = SignedDuration::from_secs(60);

/// The metrics that the streams of one tick may need.
#[derive(Debug, Default)]
pub struct SharedMetrics {
    batches: HashMap<String, Arc<Batch>>,
}

#[derive(Debug)]
struct Batch {
    streams: Vec<(String, Extra)>,
    read: OnceCell<(Window, Result<Unclaimed, aws::Error>)>,
}

/// What was read and not taken yet, by stream.
type Unclaimed = Mutex<HashMap<String, StreamMetrics>>;

impl SharedMetrics {
    /// Batches of the streams whose alarm in ALARM may scale them, the most urgent first.
    pub fn of<'a>(
        streams: impl Iterator<Item = (&'a Subscription, &'a Facts)>,
        now: Timestamp,
    ) -> Self {
        let mut kinds: BTreeMap<_, Vec<(Priority, String, Extra)>> = BTreeMap::new();
        for (subscription, facts) in streams {
            let reads_nothing = facts.standing.is_some() || !may_reshard(subscription, facts, now);
            let Some((direction, _)) = facts.firing().filter(|_| !reads_nothing) else {
                continue;
            };
            if let Some((extra, window)) = metrics_needed(subscription, direction, now) {
                let name = facts.stream_name(subscription).to_owned();
                let kind = (window.period_seconds, window.from);
                let stream = (facts.priority(), name, extra);
                kinds.entry(kind).or_default().push(stream);
            }
        }
        let mut batches = HashMap::new();
        for mut streams in kinds.into_values() {
            streams.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
            for chunk in streams.chunks(STREAMS_PER_CALL) {
                let streams = chunk.iter();
                let streams = streams.map(|(_, name, extra)| (name.clone(), *extra));
                let batch = Arc::new(Batch {
                    streams: streams.collect(),
                    read: OnceCell::new(),
                });
                let names = chunk.iter().map(|(_, name, _)| name.clone());
                batches.extend(names.map(|name| (name, batch.clone())));
            }
        }
        Self { batches }
    }

    /// The metrics of a stream over `window`; `None` if they have to be read for it alone.
    pub async fn take(
        &self,
        cloudwatch: &CloudWatch,
        stream: &str,
        window: Window,
    ) -> Option<Result<StreamMetrics, aws::Error>> {
        let batch = self.batches.get(stream)?;
        let read = batch.read.get_or_init(|| batch.read(cloudwatch, window));
        let (then, read) = Box::pin(read).await;
        let fits = then.period_seconds == window.period_seconds
            && then.from <= window.from
            && window.until.duration_since(then.until) <= READ_WITHIN;
        match read {
            _ if !fits => None,
            Err(error) => Some(Err(error.clone())),
            Ok(unclaimed) => {
                let mut unclaimed = unclaimed.lock().unwrap_or_else(PoisonError::into_inner);
                unclaimed.remove(stream).map(Ok)
            }
        }
    }
}

impl Batch {
    async fn read(
        &self,
        cloudwatch: &CloudWatch,
        window: Window,
    ) -> (Window, Result<Unclaimed, aws::Error>) {
        let streams = self.streams.iter();
        let wanted: Vec<(&str, Extra)> = streams.map(|(name, extra)| (&**name, *extra)).collect();
        let read = cloudwatch.metrics_of(&wanted, window).await;
        let named = |read: Vec<StreamMetrics>| {
            let names = wanted.iter().map(|(name, _)| (*name).to_owned());
            Mutex::new(names.zip(read).collect())
        };
        (window, read.map(named))
    }
}
