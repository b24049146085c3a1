//! Which host suffixes of the user's configuration are narrow enough to receive tokens.
//!
//! A suffix allows every host with one more label. So it must be a domain below which nobody else can have a name: not a
//! public suffix (`co.uk`, or `azurewebsites.net`, of the public suffix list's two sections), nor one that Azure's customers
//! share.

/// The service's own suffix: project endpoints are `ACCOUNT.services.ai.azure.com` (contract section 1.1).
pub(super) const SERVICE_SUFFIX: &str = "services.ai.azure.com";

/// Microsoft's domains: below each, at some depth, other customers have names.
const SHARED: [&str; 6] = ["azure.com", "azure.net", "azure.us", "azure.cn", "windows.net", "microsoft.com"];

/// Below these each customer has an account with a certificate of Microsoft's: the service itself in its sovereign clouds.
const SERVICE_SUFFIXES: [&str; 3] = [SERVICE_SUFFIX, "services.ai.azure.us", "services.ai.azure.cn"];

/// Shared by region: names are given below each label in front.
const SHARED_BY_REGION: [&str; 1] = ["azurecontainerapps.io"];

/// A suffix of the user's configuration that would allow too much or could match nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{suffix:?} {fault}")]
pub struct InvalidSuffix {
    /// As it was given.
    pub suffix: String,
    /// What is wrong with it.
    pub fault: SuffixFault,
}

/// What is wrong with a suffix, and what would be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SuffixFault {
    /// Not a domain.
    #[error("must be a domain of two or more labels such as foundry.contoso.com, without scheme, port or path")]
    NotADomain,
    /// With a star.
    #[error("must be written without *: a suffix already covers every host with one more label")]
    Wildcard,
    /// An address, or what would be read as one.
    #[error("ends in a number, as IP addresses do; give a domain of your own, such as foundry.contoso.com")]
    Number,
    /// Anyone can register a name below it.
    #[error(
        "is a public suffix: anyone can have a name below it; give a domain of your own, such as foundry.contoso.com"
    )]
    Public,
    /// Other customers of Azure have names below it.
    #[error(
        "is shared by customers of Azure; give a domain of your own, such as foundry.contoso.com ({SERVICE_SUFFIX} needs no setting)"
    )]
    Shared,
}

/// The suffix as it is compared: lower case, without a leading dot.
pub(super) fn checked(given: &str) -> Result<String, InvalidSuffix> {
    let suffix = given.strip_prefix('.').unwrap_or(given).to_ascii_lowercase();
    match fault(&suffix) {
        None => Ok(suffix),
        Some(fault) => Err(InvalidSuffix { suffix: given.to_owned(), fault }),
    }
}

fn fault(suffix: &str) -> Option<SuffixFault> {
    if suffix.contains('*') {
        return Some(SuffixFault::Wildcard);
    }
    let labels: Vec<&str> = suffix.split('.').collect();
    if labels.len() < 2 || !labels.iter().all(|label| is_label(label)) {
        return Some(SuffixFault::NotADomain);
    }
    if labels.last().is_some_and(|last| is_number(last)) {
        return Some(SuffixFault::Number);
    }
    if psl::suffix(suffix.as_bytes()).is_some_and(|public| public.is_known() && public == suffix.as_bytes()) {
        return Some(SuffixFault::Public);
    }
    let is_service = SERVICE_SUFFIXES.contains(&suffix);
    let is_shared = SHARED.iter().any(|shared| is_or_lies_below(suffix, shared));
    let by_region = SHARED_BY_REGION
        .iter()
        .any(|shared| suffix == *shared || below(suffix, shared).is_some_and(|region| !region.contains('.')));
    ((is_shared && !is_service) || by_region).then_some(SuffixFault::Shared)
}

fn is_or_lies_below(suffix: &str, domain: &str) -> bool {
    suffix == domain || below(suffix, domain).is_some()
}

/// What stands before `.domain`.
fn below<'a>(suffix: &'a str, domain: &str) -> Option<&'a str> {
    suffix.strip_suffix(domain)?.strip_suffix('.')
}

/// Would a URL's host that ends in it be read as an IPv4 address?
fn is_number(label: &str) -> bool {
    let hexadecimal = label.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hexadecimal || label.bytes().all(|byte| byte.is_ascii_digit())
}

/// One DNS label.
pub(super) fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_under_which_others_have_names_is_refused_and_told_why() {
        for (fault, suffixes) in [
            (
                SuffixFault::NotADomain,
                &[
                    "com",
                    "localhost",
                    "",
                    ".",
                    "a..b",
                    "https://x.y",
                    "contoso.com:443",
                    "contoso.com/x",
                    "ä.example",
                    "contoso.com.",
                    "[::1]",
                    "a_b.example",
                ][..],
            ),
            (SuffixFault::Wildcard, &["*.contoso.com", "*", "foundry.*"]),
            (SuffixFault::Number, &["0.1", "10.0.0.1", "127.0.0.1", "1.0x7f", "contoso.0x"]),
            (
                SuffixFault::Public,
                &[
                    "co.uk",
                    ".CO.UK",
                    "com.au",
                    "github.io",
                    "azurewebsites.net",
                    "blob.core.windows.net",
                    "azure-api.net",
                    "cloudapp.net",
                    "azurefd.net",
                    "azureedge.net",
                    "trafficmanager.net",
                    "herokuapp.com",
                    "x.ck",
                ],
            ),
            (
                SuffixFault::Shared,
                &[
                    "azure.com",
                    "ai.azure.com",
                    "cognitiveservices.azure.com",
                    "openai.azure.com",
                    "cloudapp.azure.com",
                    "westus.cloudapp.azure.com",
                    "windows.net",
                    "core.windows.net",
                    "search.windows.net",
                    "vault.azure.net",
                    "azure.us",
                    "azurecontainerapps.io",
                    "eastus.azurecontainerapps.io",
                ],
            ),
        ] {
            for suffix in suffixes {
                let refused = checked(suffix).expect_err(suffix);
                assert_eq!(refused.fault, fault, "{refused}");
                assert!(refused.to_string().starts_with(&format!("{suffix:?} ")), "{refused}");
            }
        }
    }

    #[test]
    fn a_domain_of_ones_own_is_taken() {
        for suffix in [
            "contoso.com",
            ".foundry.contoso.com",
            "Foundry.Contoso.co.uk",
            "corp.internal",
            "foundry.example",
            "azure.contoso.com",
            "myazure.com",
            "contoso.azure-api.net",
            "happyhill-70162bb9.eastus.azurecontainerapps.io",
            "services.ai.azure.com",
            "services.ai.azure.us",
            "1and1.example",
        ] {
            assert_eq!(checked(suffix).unwrap(), suffix.trim_start_matches('.').to_ascii_lowercase());
        }
    }
}
