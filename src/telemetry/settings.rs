//! `[telemetry]` of the configuration file, and the standard variables of OpenTelemetry that fill in what it leaves open.
//!
//! The variables alone switch nothing on: the daemon has the environment of whichever command started it first.

use crate::system::secret::SecretSource;
use http::HeaderName;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use url::{Host, Url};
use uuid::Uuid;

/// Switches telemetry off, whatever the configuration says.
pub const DISABLED: &str = "OTEL_SDK_DISABLED";
/// The variables that the settings take up.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const METRICS_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TIMEOUT";
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";

/// `service.name` unless something else is set.
const DEFAULT_SERVICE: &str = "cupola";
/// How long the collector may take to answer: OpenTelemetry's own default.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that it may be given: what waits meanwhile is bounded, so more time only loses more.
const MAX_TIMEOUT: Duration = Duration::from_mins(1);
/// How long spans are gathered, and how long metrics are: OpenTelemetry's own defaults.
const SPANS_EVERY: Duration = Duration::from_secs(5);
const METRICS_EVERY: Duration = Duration::from_mins(1);
/// The most attributes of a resource that are taken from the environment.
const MAX_RESOURCE: usize = 64;

/// `[telemetry]` as it is written.
///
/// ```toml
/// [telemetry]
/// otlp_endpoint = "https://collector.example.com:4318"
/// headers = { "api-key" = { file = "/run/secrets/collector-key" } }   # or { env = "COLLECTOR_KEY" }
/// service_name = "cupola"
/// sampling_ratio = 1.0
/// metrics_listen = "127.0.0.1:9464"
/// ```
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryTable {
    /// The collector's address, without `/v1/traces` and `/v1/metrics`.
    pub otlp_endpoint: Option<String>,
    /// Headers that the collector asks for.
    pub headers: BTreeMap<String, SecretSource>,
    /// `service.name`.
    pub service_name: Option<String>,
    /// The share of new traces that is recorded: 0 to 1.
    pub sampling_ratio: Option<f64>,
    /// Where to serve `/metrics` and `/healthz`: a port of this machine.
    pub metrics_listen: Option<SocketAddr>,
}

/// Telemetry, all decided.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetrySettings {
    /// The collector, if there is one.
    pub otlp: Option<Otlp>,
    /// `service.name`.
    pub service_name: String,
    /// `service.instance.id`: another one for each process.
    pub instance: String,
    /// Further attributes of the process.
    pub resource: Vec<(String, String)>,
    /// The share of new traces that is recorded.
    pub sampling_ratio: f64,
    /// Where `/metrics` is served.
    pub metrics_listen: Option<SocketAddr>,
    /// How long spans are gathered. Not in the file: users have no reason to change it.
    pub spans_every: Duration,
    /// How often metrics are sent. Not in the file either.
    pub metrics_every: Duration,
}

/// Where spans and metrics are sent, and with what.
#[derive(Debug, Clone, PartialEq)]
pub struct Otlp {
    /// Where spans are sent.
    pub traces: Url,
    /// Where metrics are sent.
    pub metrics: Url,
    /// Headers by name.
    pub headers: Vec<(HeaderName, SecretSource)>,
    /// A list of further ones, `NAME=VALUE,NAME=VALUE`, which those above win over.
    pub header_list: Option<SecretSource>,
    /// How long the collector may take to answer.
    pub timeout: Duration,
}

/// A setting or a variable that breaks its rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin} must be {rule}")]
pub struct InvalidTelemetry {
    /// The setting or the variable.
    pub origin: &'static str,
    /// The rule.
    pub rule: &'static str,
}

fn invalid(origin: &'static str, rule: &'static str) -> InvalidTelemetry {
    InvalidTelemetry { origin, rule }
}

impl TelemetryTable {
    /// The settings, with what variables add. `None` if nothing is to be done.
    pub fn resolve(
        self,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<TelemetrySettings>, InvalidTelemetry> {
        if variable(DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let sampling_ratio = self.sampling_ratio.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&sampling_ratio) {
            return Err(invalid("sampling_ratio", "a number from 0 to 1"));
        }
        if self.metrics_listen.is_some_and(|address| !address.ip().is_loopback()) {
            return Err(invalid("metrics_listen", "an address of this machine only, like 127.0.0.1:9464"));
        }
        let metrics_listen = self.metrics_listen;
        let service_name = self.service_name.clone().or_else(|| variable(SERVICE_NAME));
        let settings = TelemetrySettings {
            otlp: self.otlp(variable)?,
            service_name: service_name.filter(|name| !name.is_empty()).unwrap_or_else(|| DEFAULT_SERVICE.to_owned()),
            instance: Uuid::new_v4().to_string(),
            resource: variable(RESOURCE).map(|list| pairs(&list).take(MAX_RESOURCE).collect()).unwrap_or_default(),
            sampling_ratio,
            metrics_listen,
            spans_every: SPANS_EVERY,
            metrics_every: METRICS_EVERY,
        };
        Ok(Some(settings).filter(TelemetrySettings::is_on))
    }

    fn otlp(self, variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Otlp>, InvalidTelemetry> {
        let (origin, base) = match self.otlp_endpoint {
            Some(endpoint) => ("otlp_endpoint", Some(endpoint)),
            None => (ENDPOINT, variable(ENDPOINT)),
        };
        let base = base.map(|base| address(origin, &base)).transpose()?;
        // What the file says stands: the variables of single signals only complete those of all.
        let signal = |name: &'static str, path: &str| match variable(name).filter(|_| origin == ENDPOINT) {
            Some(whole) => address(name, &whole).map(Some),
            None => Ok(base.as_ref().map(|base| below(base, path))),
        };
        let traces = signal(TRACES_ENDPOINT, "v1/traces")?;
        let metrics = signal(METRICS_ENDPOINT, "v1/metrics")?;
        let Some((traces, metrics)) = traces.zip(metrics) else { return Ok(None) };
        let mut headers = Vec::new();
        for (name, source) in self.headers {
            let name = HeaderName::try_from(name.as_str());
            headers.push((name.map_err(|_| invalid("headers", "a table whose keys are names of headers"))?, source));
        }
        let header_list = variable(HEADERS).map(|_| SecretSource::Env(HEADERS.to_owned()));
        let is_secret = !headers.is_empty() || header_list.is_some();
        if is_secret && [&traces, &metrics].into_iter().any(|url| url.scheme() != "https" && !is_local(url)) {
            return Err(invalid(origin, "an https:// address, because headers with secrets are sent to it"));
        }
        let timeout = match variable(TIMEOUT) {
            None => DEFAULT_TIMEOUT,
            Some(value) => match value.parse() {
                Ok(milliseconds @ 1..) => Duration::from_millis(milliseconds).min(MAX_TIMEOUT),
                _ => return Err(invalid(TIMEOUT, "a whole number of milliseconds above zero")),
            },
        };
        Ok(Some(Otlp { traces, metrics, headers, header_list, timeout }))
    }
}

impl TelemetrySettings {
    /// Is there anything to do?
    pub fn is_on(&self) -> bool {
        self.otlp.is_some() || self.metrics_listen.is_some()
    }

    /// The files that secrets are in.
    pub fn files(&self) -> impl Iterator<Item = std::path::PathBuf> {
        let headers = self.otlp.iter().flat_map(|otlp| &otlp.headers);
        headers.filter_map(|(_, source)| source.path().map(ToOwned::to_owned))
    }
}

/// A collector's address. Secrets do not belong in it.
fn address(origin: &'static str, text: &str) -> Result<Url, InvalidTelemetry> {
    let rule = "http:// or https://, a host, and nothing else but a port and a path";
    let url = Url::parse(text).map_err(|_| invalid(origin, rule))?;
    let is_bare =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() || !is_bare {
        return Err(invalid(origin, rule));
    }
    Ok(url)
}

/// The signal's own address below the common one.
fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let root = base.path().trim_end_matches('/');
    url.set_path(&format!("{root}/{path}"));
    url
}

/// Is it on this machine?
pub(super) fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// `NAME=VALUE,NAME=VALUE` with percent-encoded values, as OpenTelemetry writes lists. Anything else is left out.
pub(super) fn pairs(list: &str) -> impl Iterator<Item = (String, String)> {
    list.split(',').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let name = name.trim();
        (!name.is_empty()).then(|| (name.to_owned(), decoded(value.trim())))
    })
}

/// Percent-decoded. What is not UTF-8 then stays as it was.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        let code = match after {
            [high, low, ..] if *byte == b'%' => std::str::from_utf8(&[*high, *low])
                .ok()
                .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
                .and_then(|digits| u8::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        bytes.push(code.unwrap_or(*byte));
        rest = if code.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(file: &str, variables: &[(&str, &str)]) -> Result<Option<TelemetrySettings>, String> {
        let table: TelemetryTable = toml::from_str(file).map_err(|error| error.to_string())?;
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        table.resolve(&variable).map_err(|error| error.to_string())
    }

    fn otlp(file: &str, variables: &[(&str, &str)]) -> Otlp {
        resolve(file, variables).unwrap().unwrap().otlp.unwrap()
    }

    #[test]
    fn each_signal_has_an_address_below_the_endpoint() {
        for (endpoint, traces) in [
            ("https://c.example.com", "https://c.example.com/v1/traces"),
            ("https://c.example.com:4318/", "https://c.example.com:4318/v1/traces"),
            ("https://c.example.com/otlp", "https://c.example.com/otlp/v1/traces"),
        ] {
            assert_eq!(otlp(&format!("otlp_endpoint = \"{endpoint}\""), &[]).traces.as_str(), traces);
        }
    }

    #[test]
    fn variables_fill_in_what_the_file_leaves_open() {
        let variables = [
            (ENDPOINT, "http://localhost:4318"),
            (METRICS_ENDPOINT, "http://localhost:9/m"),
            (HEADERS, "api-key=hush"),
            (TIMEOUT, "250"),
            (SERVICE_NAME, "fleet"),
            (RESOURCE, "k8s.pod.name=a%2Cb, wrong ,team=x"),
        ];
        let settings = resolve("", &variables).unwrap().unwrap();
        let otlp = settings.otlp.unwrap();
        assert_eq!(otlp.traces.as_str(), "http://localhost:4318/v1/traces");
        assert_eq!(otlp.metrics.as_str(), "http://localhost:9/m");
        assert_eq!((otlp.timeout, settings.service_name.as_str()), (Duration::from_millis(250), "fleet"));
        assert_eq!(otlp.header_list, Some(SecretSource::Env(HEADERS.to_owned())));
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(settings.resource, [pair("k8s.pod.name", "a,b"), pair("team", "x")]);
        let file = "otlp_endpoint = \"http://127.0.0.1:1\"\nservice_name = \"mine\"";
        let settings = resolve(file, &variables).unwrap().unwrap();
        assert_eq!(settings.service_name, "mine");
        // A collector that the file names gets everything: half of it does not go where a variable says.
        assert_eq!(settings.otlp.unwrap().metrics.as_str(), "http://127.0.0.1:1/v1/metrics");
    }

    #[test]
    fn it_is_off_without_a_place_and_when_a_variable_says_so() {
        assert_eq!(resolve("", &[]), Ok(None));
        let file = "otlp_endpoint = \"http://localhost:4318\"\nmetrics_listen = \"127.0.0.1:9464\"";
        assert!(resolve(file, &[(DISABLED, "false")]).unwrap().is_some());
        assert_eq!(resolve(file, &[(DISABLED, "true")]), Ok(None));
    }

    #[test]
    fn what_breaks_a_rule_is_refused_by_name() {
        let key = "headers = { api-key = { env = \"KEY\" } }";
        for (file, said) in [
            ("otlp_endpoint = \"collector:4318\"", "otlp_endpoint must be http:// or https://"),
            ("otlp_endpoint = \"grpc://collector:4317\"", "otlp_endpoint must be http:// or https://"),
            ("otlp_endpoint = \"https://me:hush@collector\"", "otlp_endpoint must be"),
            ("otlp_endpoint = \"https://collector?key=hush\"", "otlp_endpoint must be"),
            (&format!("otlp_endpoint = \"http://10.0.0.1:4318\"\n{key}"), "an https:// address"),
            ("metrics_listen = \"0.0.0.0:9464\"", "metrics_listen must be an address of this machine only"),
            ("sampling_ratio = 1.5", "sampling_ratio must be a number from 0 to 1"),
            ("sampling_ratio = nan", "sampling_ratio must be a number from 0 to 1"),
            ("headers = { api-key = \"hush\" }", "headers"),
            ("otlp_endpont = \"https://collector\"", "otlp_endpont"),
            ("otlp_endpoint = \"https://collector\"\nheaders = { \"a b\" = { env = \"KEY\" } }", "names of headers"),
        ] {
            let refused = resolve(file, &[]).unwrap_err();
            assert!(refused.contains(said), "{file}: {refused}");
        }
        assert!(resolve("otlp_endpoint = \"http://10.0.0.1:4318\"", &[]).is_ok());
        assert!(resolve(&format!("otlp_endpoint = \"http://[::1]:4318\"\n{key}"), &[]).is_ok());
        let refused = resolve("otlp_endpoint = \"https://collector\"", &[(TIMEOUT, "soon")]).unwrap_err();
        assert!(refused.starts_with(TIMEOUT), "{refused}");
    }

    #[test]
    fn a_percent_sign_without_a_code_stays() {
        for (given, expected) in [("100%", "100%"), ("%zz", "%zz"), ("%41%", "A%"), ("%ff", "%ff"), ("%+1", "%+1")] {
            assert_eq!(decoded(given), expected);
        }
    }

    /// What docs/telemetry.md says in its table of settings: name, default, variable.
    fn documented() -> Vec<[String; 3]> {
        let page = include_str!("../../docs/telemetry.md");
        let table = page.split_once("| setting | default | variable |").unwrap().1;
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let cell = |cell: &str| cell.trim().trim_matches('`').trim_matches('"').to_owned();
        rows.map(|row| {
            let cells: Vec<_> = row.split('|').skip(1).map(cell).collect();
            [cells[0].clone(), cells[1].clone(), cells[2].clone()]
        })
        .collect()
    }

    #[test]
    fn the_page_has_every_setting_with_its_default_and_every_variable() {
        // The list of fields is in the error about one that there is not.
        let unknown = toml::from_str::<TelemetryTable>("nothing = 1").unwrap_err().to_string();
        let fields = unknown.split_once("expected one of ").unwrap().1;
        let mut fields: Vec<_> = fields.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let mut names: Vec<_> = documented().into_iter().map(|[name, ..]| name).collect();
        fields.sort();
        names.sort();
        assert_eq!(names, fields, "docs/telemetry.md");

        let table = TelemetryTable { metrics_listen: Some("127.0.0.1:9464".parse().unwrap()), ..Default::default() };
        let asked = std::cell::RefCell::new(std::collections::BTreeSet::new());
        let variable = |name: &str| {
            asked.borrow_mut().insert(name.to_owned());
            None
        };
        let settings = table.resolve(&variable).unwrap().unwrap();
        for [name, default, _] in documented() {
            let actual = match name.as_str() {
                "service_name" => settings.service_name.clone(),
                "sampling_ratio" => settings.sampling_ratio.to_string(),
                _ => "none".to_owned(),
            };
            assert_eq!(default, actual, "the default of {name} in docs/telemetry.md");
        }
        // The rest of the variables is asked for with a collector.
        let with = TelemetryTable { otlp_endpoint: Some("http://127.0.0.1:4318".to_owned()), ..Default::default() };
        with.resolve(&variable).unwrap();
        TelemetryTable::default().resolve(&variable).unwrap();
        let page = include_str!("../../docs/telemetry.md");
        let is_of_name = |character: char| character.is_ascii_uppercase() || character == '_';
        let written: std::collections::BTreeSet<_> = page
            .split(|character| !is_of_name(character))
            .filter(|word| word.starts_with("OTEL_"))
            .map(str::to_owned)
            .collect();
        assert_eq!(written, asked.into_inner(), "the variables of docs/telemetry.md");
    }
}
