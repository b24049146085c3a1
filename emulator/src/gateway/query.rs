//! A request's query: read by name, and handed to a container as it was sent.

use http::Uri;

/// The service's own parameter, which no container sees.
const API_VERSION: &str = "api-version";

/// The parameters of a query, in their order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<Parameter>);

#[derive(Debug, Clone)]
struct Parameter {
    name: String,
    value: String,
    /// As it was sent, `name=value` with its percent-encoding.
    raw: String,
}

impl Query {
    pub(crate) fn of(uri: &Uri) -> Self {
        let parameters = uri.query().unwrap_or_default().split('&').filter(|raw| !raw.is_empty());
        Self(
            parameters
                .map(|raw| {
                    let (name, value) = url::form_urlencoded::parse(raw.as_bytes()).next().unwrap_or_default();
                    Parameter { name: name.into_owned(), value: value.into_owned(), raw: raw.to_owned() }
                })
                .collect(),
        )
    }

    /// The value of a parameter. An empty one counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|parameter| parameter.name == name && !parameter.value.is_empty());
        found.map(|parameter| parameter.value.as_str())
    }

    /// The query that a container gets, with its `?`: the bytes that were sent, without the API version. If `session` is given,
    /// a parameter of its name has its value and occurs once.
    pub(crate) fn for_container(&self, session: Option<(&str, &str)>) -> String {
        let mut kept = Vec::new();
        let mut missing = session;
        for parameter in self.0.iter().filter(|parameter| parameter.name != API_VERSION) {
            match session {
                Some((name, value)) if parameter.name == name => {
                    if missing.is_some() && parameter.value == value {
                        missing = None;
                        kept.push(parameter.raw.clone());
                    }
                }
                _ => kept.push(parameter.raw.clone()),
            }
        }
        if let Some((name, value)) = missing {
            kept.push(url::form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish());
        }
        if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_gets_the_bytes_that_were_sent_and_one_session() {
        for (sent, got) in [
            ("/x?api-version=v1", "?s=one"),
            ("/x?b=a%20b&c=a+b&flag&api-version=v1&d=%7E~", "?b=a%20b&c=a+b&flag&d=%7E~&s=one"),
            ("/x?s=one&b=1", "?s=one&b=1"),
            ("/x?s=&s=o%6ee&s=two&s=one", "?s=o%6ee"),
        ] {
            assert_eq!(Query::of(&sent.parse().unwrap()).for_container(Some(("s", "one"))), got, "{sent}");
        }
        let query = Query::of(&"/x?a=&a=b+c&api%2Dversion=v1".parse().unwrap());
        assert_eq!((query.get("a"), query.get("b")), (Some("b c"), None));
        assert_eq!(query.for_container(None), "?a=&a=b+c");
    }
}
