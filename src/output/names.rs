//! What to call streams of several Regions and accounts.

use std::collections::{BTreeMap, BTreeSet};

/// A stream as a table names it.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    pub stream: &'a str,
    /// `None` where that is not known.
    pub region: Option<&'a str>,
    pub account: Option<&'a str>,
}

/// The streams' names, with the Region where there are several, and with the account where streams
/// of several have the same name in the same Region.
pub fn distinct_names(streams: &[Named<'_>]) -> Vec<String> {
    let regions: BTreeSet<&str> = streams.iter().filter_map(|it| it.region).collect();
    let mut accounts: BTreeMap<(&str, Option<&str>), BTreeSet<Option<&str>>> = BTreeMap::new();
    for it in streams {
        let same = accounts.entry((it.stream, it.region)).or_default();
        same.insert(it.account);
    }
    let name = |it: &Named<'_>| {
        let same = accounts.get(&(it.stream, it.region));
        let region = it.region.filter(|_| regions.len() > 1);
        let account = it
            .account
            .filter(|_| same.is_some_and(|same| same.len() > 1));
        let parts: Vec<&str> = [region, account].into_iter().flatten().collect();
        match parts.is_empty() {
            true => it.stream.to_owned(),
            false => format!("{} ({})", it.stream, parts.join(", ")),
        }
    };
    streams.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_and_account_are_told_only_where_they_tell_streams_apart() {
        let check = |streams: &[(&str, &str, &str)], expected: &[&str]| {
            let named = streams.iter().map(|(stream, region, account)| Named {
                stream,
                region: Some(region).filter(|it| !it.is_empty()).copied(),
                account: Some(account).filter(|it| !it.is_empty()).copied(),
            });
            let named: Vec<Named<'_>> = named.collect();
            assert_eq!(distinct_names(&named), expected);
        };
        check(&[("a", "eu", "1"), ("b", "eu", "2")], &["a", "b"]);
        check(&[("a", "eu", "1"), ("a", "eu", "1")], &["a", "a"]);
        check(&[("a", "eu", ""), ("a", "eu", "2")], &["a", "a (2)"]);
        check(&[("a", "eu", "1"), ("b", "us", "")], &["a (eu)", "b (us)"]);
        check(
            &[
                ("a", "eu", "1"),
                ("a", "us", "1"),
                ("a", "us", "2"),
                ("a", "", ""),
            ],
            &["a (eu)", "a (us, 1)", "a (us, 2)", "a"],
        );
    }
}
