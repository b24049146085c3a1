//! Addresses: a token goes to an allowed host over https and nowhere else, and no name leads out of its place in a path.

use super::*;
use crate::fuzz::{Words, cuts};
use bolero::check;
use cupola_protocol::id::{ConversationId, ResponseId, SessionId};
use cupola_protocol::target::{AgentEndpoint, AgentVersion};
use percent_encoding::percent_decode_str;

/// What the parts of a URL are made of.
const URL_WORDS: &[&str] = &[
    "https://",
    "http://",
    "HTTPS://",
    "acct",
    "evil.example",
    ".services.ai.azure.com",
    "services.ai.azure.com",
    ".foundry.contoso.com",
    "/api/projects/",
    "p",
    "/agents/",
    "notes",
    "/endpoint/protocols/",
    "openai/responses",
    "a2a",
    "?api-version=v1",
    ".",
    "..",
    "/",
    "\\",
    "%2e",
    "%2f",
    "@",
    ":",
    "443",
    ":443",
    "#",
    "?",
    "xn--",
    "127.0.0.1",
    "[::1]",
    "localhost",
    "-",
    "\t",
    "ª",
    "。",
    "\u{ad}",
    "",
];
/// What names are made of.
const NAME_WORDS: &[&str] = &[
    "a",
    "session-1",
    "..",
    ".",
    "/",
    "\\",
    "%2e",
    "%",
    "?",
    "#",
    ":",
    ";",
    "@",
    "&",
    "=",
    " ",
    "+",
    "ä",
    "\u{202e}",
    "~",
];

fn hosts() -> AllowedHosts {
    AllowedHosts::with(["foundry.contoso.com".to_owned()]).unwrap()
}

/// What must hold of every address that gets the user's own token.
fn check_bears_a_token(address: &Address) {
    assert_eq!(address.account(), Some(&Account::Configured));
    let url = Url::parse(address.agent(&[]).as_str()).unwrap();
    assert_eq!(url.scheme(), "https", "{url}");
    assert_eq!(url.port(), None, "{url}");
    assert_eq!((url.username(), url.password()), ("", None), "{url}");
    let host = url.host_str().unwrap();
    let account =
        [".services.ai.azure.com", ".foundry.contoso.com"].iter().find_map(|suffix| host.strip_suffix(suffix));
    let is_one_label = account.is_some_and(|label| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    });
    assert!(is_one_label, "{host} gets a token");
    assert!(address.covers(&url));
}

#[test]
fn a_token_goes_to_allowed_hosts_only() {
    let hosts = hosts();
    check!().with_generator((Words(URL_WORDS), Words(URL_WORDS))).for_each(|(text, rest): &(String, String)| {
        // One of the two has a beginning that is right, so that more than the first check is reached.
        for text in [
            text.clone(),
            format!("https://{text}/api/projects/{rest}"),
            format!("https://acct{text}.services.ai.azure.com/api/projects/p{rest}"),
        ] {
            if let Ok(endpoint) = text.parse::<ProjectEndpoint>()
                && let Ok(address) = Address::project(&endpoint, &"notes".parse().unwrap(), &hosts)
            {
                check_bears_a_token(&address);
            }
            if let Ok(endpoint) = text.parse::<AgentEndpoint>()
                && let Ok(address) = Address::project(endpoint.project(), endpoint.agent(), &hosts)
            {
                check_bears_a_token(&address);
            }
            if let Ok(emulator) = text.parse::<EmulatorUrl>()
                && let Ok(address) = Address::emulator(&emulator, &"notes".parse().unwrap())
            {
                assert!(matches!(address.account(), Some(Account::Emulator(_))));
                let url = address.agent(&[]);
                assert!(matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]")), "{url}");
            }
        }
    });
}

#[test]
fn an_allowed_suffix_is_a_domain() {
    check!().with_generator((Words(URL_WORDS), Words(URL_WORDS))).for_each(|(suffix, host): &(String, String)| {
        let Ok(hosts) = AllowedHosts::with([suffix.clone()]) else { return };
        let text = format!("https://{host}/api/projects/p");
        let Ok(endpoint) = text.parse::<ProjectEndpoint>() else { return };
        if let Ok(address) = Address::project(&endpoint, &"notes".parse().unwrap(), &hosts) {
            let url = address.agent(&[]);
            let suffix = suffix.trim_start_matches('.').to_lowercase();
            let host = url.host_str().unwrap();
            let is_below = [SERVICE_SUFFIX, suffix.as_str()].iter().any(|suffix| host.ends_with(&format!(".{suffix}")));
            assert!(is_below, "{host} gets a token");
        }
    });
}

#[test]
fn names_stay_in_their_place_of_a_path() {
    let endpoint = "https://acct.services.ai.azure.com/api/projects/p".parse().unwrap();
    let address = Address::project(&endpoint, &"notes".parse().unwrap(), &hosts()).unwrap();
    let base = "/api/projects/p/agents/notes";
    check!().with_generator((Words(NAME_WORDS), cuts())).for_each(|(name, _): &(String, Vec<u8>)| {
        // Whatever is put in, the URL stays below the agent.
        for url in
            [address.agent(&[name]), address.endpoint(&[name, name]), address.protocol(AgentProtocol::A2a, &[name])]
        {
            assert!(url.path().starts_with(base) && address.covers(&url), "{url}");
            assert_eq!((url.query(), url.fragment()), (Some("api-version=v1"), None), "{url}");
        }
        // And what a name may be is one segment, which reads back as the name.
        let names = [
            name.parse::<SessionId>().map(|id| id.to_string()),
            name.parse::<ConversationId>().map(|id| id.to_string()),
            name.parse::<ResponseId>().map(|id| id.to_string()),
            name.parse::<AgentVersion>().map(|version| version.to_string()),
            name.parse::<AgentName>().map(|agent| agent.to_string()),
        ];
        for name in names.into_iter().flatten() {
            let url = address.agent(&["x", &name]);
            let rest = url
                .path()
                .strip_prefix(base)
                .and_then(|path| path.strip_prefix("/x/"))
                .unwrap_or_else(|| panic!("{name:?} is lost: {url}"));
            assert!(!rest.contains('/'), "{url}");
            assert_eq!(percent_decode_str(rest).decode_utf8().unwrap(), name);
        }
    });
}
