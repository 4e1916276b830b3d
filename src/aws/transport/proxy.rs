//! The proxies that the environment names, by curl's rules.

use aws_smithy_http_client::proxy::{ProxyConfig, ProxyError};
use aws_types::os_shim_internal::Env;

use super::TransportError;

/// The metadata services of EC2 and ECS answer on the host itself, never through a proxy.
const NEVER: &str = "169.254.169.254,169.254.170.2,169.254.170.23,fd00:ec2::254,fd00:ec2::23";

/// A proxy, and what errors say of it.
pub(super) struct Proxy {
    pub config: ProxyConfig,
    /// For example `HTTPS_PROXY is http://proxy:3128`; without a password.
    pub note: Option<String>,
}

/// The proxy for https requests.
pub(super) fn https(env: &Env) -> Result<Proxy, TransportError> {
    const NAMES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    read(env, &NAMES, ProxyConfig::https)
}

/// The proxy for http requests, which only custom endpoints take.
pub(super) fn http(env: &Env) -> Result<Proxy, TransportError> {
    const NAMES: [&str; 4] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    read(env, &NAMES, ProxyConfig::http)
}

fn read(
    env: &Env,
    names: &[&'static str],
    parse: fn(String) -> Result<ProxyConfig, ProxyError>,
) -> Result<Proxy, TransportError> {
    let Some((variable, url)) = first(env, names) else {
        return Ok(Proxy {
            config: ProxyConfig::disabled(),
            note: None,
        });
    };
    let url = match url.contains("://") {
        true => url,
        false => format!("http://{url}"),
    };
    let note = Some(format!("{variable} is {}", without_password(&url)));
    let proxy = parse(url).map_err(|error| TransportError::Proxy {
        variable,
        why: error.to_string(),
    })?;
    let exceptions = first(env, &["NO_PROXY", "no_proxy"]).map(|(_, hosts)| hosts);
    let exceptions = format!("{NEVER},{}", exceptions.unwrap_or_default());
    let config = proxy.no_proxy(exceptions);
    Ok(Proxy { config, note })
}

/// The URL without the user and password that it may name.
fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let authority = rest.split('/').next().unwrap_or(rest);
    let host = authority.rsplit('@').next().unwrap_or(authority);
    format!("{scheme}://{host}")
}

/// The first of `names` that is set; an empty variable counts as unset.
fn first(env: &Env, names: &[&'static str]) -> Option<(&'static str, String)> {
    names.iter().find_map(|name| {
        let value = env.get(name).ok()?;
        (!value.is_empty()).then_some((*name, value))
    })
}
