//! The shard quotas of accounts, as far as AWS has told them.

use std::collections::BTreeMap;

use super::page::{Kind, Page, place};
use crate::{aws::ShardQuota, reconcile::context::Context};

/// What is known by Region and account. AWS is asked only after it has refused a scale-up.
#[derive(Clone, Debug, Default)]
pub(super) struct Quotas(BTreeMap<(String, Option<String>), ShardQuota>);

impl Quotas {
    /// What is known of the accounts of `context`, by its clients or from earlier ones.
    pub fn read(&self, context: &Context) -> Self {
        let mut quotas = BTreeMap::new();
        for (account, clients) in context.aws.all_clients() {
            let key = (clients.region.clone(), account.name().map(str::to_owned));
            let told = clients.kinesis.known_shard_quota();
            // A Region that is named in one place and found by the SDK in another has two clients.
            let known = [told, self.0.get(&key).copied(), quotas.get(&key).copied()];
            let newest = known.into_iter().flatten().max_by_key(|quota| quota.as_of);
            quotas.extend(newest.map(|quota| (key, quota)));
        }
        Self(quotas)
    }

    pub fn encode(&self, page: &mut Page) {
        let help = "The account's limit of open shards in the Region, as AWS told after the last scale-up \
                    that it refused for it; absent before";
        self.gauge(page, "account_shard_limit", help, |it| it.limit);
        let help = "Open shards of the account in the Region at the time of account_shard_limit";
        self.gauge(page, "account_open_shards", help, |it| it.open);
    }

    fn gauge(&self, page: &mut Page, name: &str, help: &str, value: fn(&ShardQuota) -> u32) {
        let mut family = page.family(name, Kind::Gauge, help);
        for ((region, account), quota) in &self.0 {
            family.sample(&place(region, account.as_deref()), value(quota));
        }
    }
}
