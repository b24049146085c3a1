//! Proxies: which one the environment names, and which hosts are reached without it.
//!
//! The rules are curl's, except that only `https` requests go through a proxy: those without TLS are for this machine, and for the
//! metadata service of a virtual machine, which no proxy can reach.

use hyper_util::client::proxy::matcher::Matcher;
use std::ffi::OsString;
use std::fmt;
use url::Url;

/// Variables that name the proxy. The first one that is set counts.
const PROXY: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// Variables that name the hosts that are reached without it.
const EXCEPT: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// Kinds of proxies. With the last two of SOCKS the proxy finds the address of a host, with the others this machine does.
const SCHEMES: [&str; 6] = ["http", "https", "socks4", "socks5", "socks4a", "socks5h"];

/// What the environment says about proxies.
#[derive(Clone, Default)]
pub struct Proxies {
    proxy: Option<Variable>,
    except: Option<Variable>,
}

/// Never printed: a proxy's address may contain a password.
#[derive(Clone)]
struct Variable {
    name: &'static str,
    value: String,
}

/// How requests to one host leave this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// To the host itself: no proxy is set.
    Direct,
    /// To the host itself, because this variable excepts it from the proxy.
    Excepted(&'static str),
    /// Through a proxy.
    Through {
        /// Its address, without the user and the password.
        proxy: String,
        /// The variable that names it.
        variable: &'static str,
        /// Whether the proxy finds the address of the host, so that this machine's own knowledge of it does not matter.
        resolves: bool,
    },
}

/// A variable that does not name a proxy. Its value is not shown, because it may contain a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is not the address of a proxy; it must be like http://HOST:PORT, with one of {list}",
    list = SCHEMES.join(", ")
)]
pub struct NotAProxy(&'static str);

impl fmt::Debug for Proxies {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [&self.proxy, &self.except].map(|variable| variable.as_ref().map(|variable| variable.name));
        formatter.debug_tuple("Proxies").field(&names).finish()
    }
}

impl Proxies {
    /// What this environment says. Variables that are empty do not count.
    pub fn of(environment: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let first = |names: &[&'static str]| {
            names.iter().find_map(|name| {
                let value = environment(name)?.to_string_lossy().trim().to_owned();
                (!value.is_empty()).then_some(Variable { name, value })
            })
        };
        Self { proxy: first(&PROXY), except: first(&EXCEPT) }
    }

    /// Has a client use them.
    pub fn apply(&self, builder: reqwest::ClientBuilder) -> Result<reqwest::ClientBuilder, NotAProxy> {
        // The client would read the environment itself, and pass over what it does not understand.
        let builder = builder.no_proxy();
        let Some(variable) = &self.proxy else { return Ok(builder) };
        let not_a_proxy = |_| NotAProxy(variable.name);
        let proxy = reqwest::Proxy::https(variable.address()?).map_err(not_a_proxy)?;
        let except = self.except.as_ref().and_then(|except| reqwest::NoProxy::from_string(&except.value));
        Ok(builder.proxy(proxy.no_proxy(except)))
    }

    /// How requests to `https://HOST` leave this machine.
    pub fn way_to(&self, host: &str) -> Result<Way, NotAProxy> {
        let Some(variable) = &self.proxy else { return Ok(Way::Direct) };
        let mut address = variable.address()?;
        let matcher = Matcher::builder().https(address.as_str());
        let matcher = matcher.no(self.except.as_ref().map_or("", |except| except.value.as_str())).build();
        let uri = format!("https://{host}/").parse().map_err(|_| NotAProxy(variable.name))?;
        if let (None, Some(except)) = (matcher.intercept(&uri), &self.except) {
            return Ok(Way::Excepted(except.name));
        }
        // What stands before the host is for the proxy alone. (An address with a host can be changed.)
        let _changed = (address.set_username(""), address.set_password(None));
        let proxy = address.as_str().trim_end_matches('/').to_owned();
        let resolves = !matches!(address.scheme(), "socks4" | "socks5");
        Ok(Way::Through { proxy, variable: variable.name, resolves })
    }
}

impl Variable {
    /// The proxy's address. One without a scheme is an HTTP proxy's.
    fn address(&self) -> Result<Url, NotAProxy> {
        let text = if self.value.contains("://") { self.value.clone() } else { format!("http://{}", self.value) };
        let url = Url::parse(&text).map_err(|_| NotAProxy(self.name))?;
        let is_one = SCHEMES.contains(&url.scheme()) && url.has_host();
        if is_one { Ok(url) } else { Err(NotAProxy(self.name)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        Proxies::of(&|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
    }

    fn through(proxy: &str, variable: &'static str, resolves: bool) -> Way {
        Way::Through { proxy: proxy.to_owned(), variable, resolves }
    }

    #[test]
    fn the_first_variable_that_is_set_names_the_proxy() {
        for (variables, way) in [
            (&[][..], Way::Direct),
            (&[("HTTP_PROXY", "http://p:1")], Way::Direct),
            (&[("HTTPS_PROXY", "")], Way::Direct),
            (&[("HTTPS_PROXY", "p:3128")], through("http://p:3128", "HTTPS_PROXY", true)),
            (&[("HTTPS_PROXY", ""), ("https_proxy", "http://p:1")], through("http://p:1", "https_proxy", true)),
            (&[("ALL_PROXY", "socks5://p:1"), ("https_proxy", "http://q")], through("http://q", "https_proxy", true)),
            (&[("ALL_PROXY", "socks5://p:1")], through("socks5://p:1", "ALL_PROXY", false)),
            (&[("all_proxy", "socks5h://me:hush@p:1/")], through("socks5h://p:1", "all_proxy", true)),
        ] {
            assert_eq!(proxies(variables).way_to("a.example"), Ok(way), "{variables:?}");
        }
    }

    #[test]
    fn hosts_are_excepted_with_all_names_below_them() {
        for (except, host, is_excepted) in [
            ("example", "a.example", true),
            (".example, other", "a.example", true),
            ("a.example", "b.example", false),
            ("ample", "a.example", false),
            ("*", "a.example", true),
            ("10.0.0.0/8", "10.1.2.3", true),
        ] {
            for variable in EXCEPT {
                let way = proxies(&[("HTTPS_PROXY", "http://p:1"), (variable, except)]).way_to(host).unwrap();
                assert_eq!(way == Way::Excepted(variable), is_excepted, "{except}: {way:?}");
            }
        }
    }

    #[test]
    fn what_is_not_a_proxy_is_refused_without_its_value() {
        for value in ["socks://me:hush@p:1", "ftp://p", "http://", "http://me:hush@p:port"] {
            let proxies = proxies(&[("HTTPS_PROXY", value)]);
            let refused = proxies.way_to("a.example").unwrap_err();
            assert!(proxies.apply(reqwest::Client::builder()).is_err(), "{value}");
            let said = refused.to_string();
            assert!(said.starts_with("HTTPS_PROXY is not the address of a proxy") && !said.contains("hush"), "{said}");
        }
        assert!(!format!("{:?}", proxies(&[("HTTPS_PROXY", "http://me:hush@p")])).contains("hush"));
    }
}
