//! The reshardings that others made, found in the rows of the log.

use autoscaler_core::external::{ExternalResharding, Known, external_reshardings};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    Log,
    series::{self, account, region},
};
use crate::output::{names::Named, times::Times};

/// A resharding of one stream that others made. The field names are part of the interface.
#[derive(Clone, Debug, Serialize)]
pub struct External {
    pub stream: String,
    /// `null` where only rows of the original tell of it.
    pub region: Option<String>,
    #[serde(skip)]
    account: Option<String>,
    #[serde(flatten)]
    pub resharding: ExternalResharding,
}

/// Those of every stream in the log, whose rows have not expired since `complete_since`.
pub(super) fn all(log: &Log, complete_since: Timestamp) -> Vec<External> {
    let mut found = Vec::new();
    for ((stream, _), rows) in series::rows_by_stream(log) {
        let ours = log.unreadable.iter();
        let ours = ours.filter(|it| it.stream_name == stream);
        let doubtful: Vec<_> = ours.map(|row| row.at).collect();
        let arn = rows.iter().map(|row| row.stream_arn.as_str());
        let arn = arn.max().unwrap_or_default();
        let known = Known {
            complete_since,
            doubtful: &doubtful,
            current: None,
        };
        let reshardings = external_reshardings(rows.iter().copied(), known);
        found.extend(reshardings.into_iter().map(|resharding| External {
            stream: stream.to_owned(),
            region: region(arn).map(str::to_owned),
            account: account(arn).map(str::to_owned),
            resharding,
        }));
    }
    found
}

impl External {
    /// The stream, as it is named among the others.
    pub(super) fn named(&self) -> Named<'_> {
        Named {
            stream: &self.stream,
            region: self.region.as_deref(),
            account: self.account.as_deref(),
        }
    }

    /// Its cells in the table: the row after it is the one that shows the new count.
    pub(super) fn cells(&self, name: String, times: &Times) -> [String; 4] {
        let ExternalResharding {
            from,
            to,
            earliest,
            latest,
        } = self.resharding;
        let earliest = times.column(earliest);
        [
            times.column(latest),
            name,
            format!("{from} -> {to}"),
            format!("not by us, between {earliest} and the time of this row"),
        ]
    }
}
