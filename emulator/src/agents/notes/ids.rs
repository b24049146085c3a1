//! Response and item ids: a prefix, a partition key shared by everything of one conversation, and chance (contract 7.3).

use uuid::Uuid;

/// Characters of a partition key: 16 hexadecimal ones and `00`.
const PARTITION_CHARS: usize = 18;
/// Characters of the part that chance makes.
const ENTROPY_CHARS: usize = 32;
/// Body of an id of the older kind, whose partition key is its last 16 characters.
const OLD_BODY_CHARS: usize = 48;
const OLD_PARTITION_CHARS: usize = 16;

/// The prefix of a response's id.
pub(super) const RESPONSE: &str = "caresp";

/// Makes an id in the partition of the id `near`, or in a new partition without one.
pub(super) fn new_id(prefix: &str, near: Option<&str>) -> String {
    let partition = near.and_then(partition_of).unwrap_or_else(|| {
        let chance = Uuid::new_v4().simple().to_string();
        format!("{}00", chance.get(..16).unwrap_or_default())
    });
    // Hexadecimal digits are alphanumeric, which is all that is asked of the last 32.
    format!("{prefix}_{partition}{}", Uuid::new_v4().simple())
}

/// Whether a text has the shape of an id. The server checks no more than the lengths.
pub(super) fn is_well_formed(id: &str) -> bool {
    match id.split_once('_') {
        Some((prefix, body)) => {
            let length = body.chars().count();
            !prefix.is_empty() && (length == PARTITION_CHARS + ENTROPY_CHARS || length == OLD_BODY_CHARS)
        }
        None => false,
    }
}

/// Whether a text has the shape of a response's id.
pub(super) fn is_response_id(id: &str) -> bool {
    is_well_formed(id) && id.split_once('_').is_some_and(|(prefix, _)| prefix == RESPONSE)
}

fn partition_of(id: &str) -> Option<String> {
    let (_, body) = id.split_once('_')?;
    if !body.is_ascii() {
        return None;
    }
    if body.len() == PARTITION_CHARS + ENTROPY_CHARS {
        body.get(..PARTITION_CHARS).map(str::to_owned)
    } else if body.len() == OLD_BODY_CHARS {
        body.get(OLD_BODY_CHARS - OLD_PARTITION_CHARS..).map(|key| format!("{key}00"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPTURED: &str = "caresp_3b2e3854d944552200gCRLKeTUiEHZoEKFAQanKhoX4GVGpT3i";

    #[test]
    fn an_id_keeps_its_neighbours_partition() {
        let id = new_id("msg", Some(CAPTURED));
        assert!(id.starts_with("msg_3b2e3854d944552200"), "{id}");
        assert!(is_well_formed(&id), "{id}");
        let old = format!("resp_{}{}", "x".repeat(32), "0123456789abcdef");
        assert!(new_id("msg", Some(&old)).starts_with("msg_0123456789abcdef00"));
    }

    #[test]
    fn an_id_near_nothing_gets_its_own_partition() {
        let (one, two) = (new_id(RESPONSE, None), new_id(RESPONSE, Some("conv_1")));
        assert!(is_response_id(&one) && is_response_id(&two));
        assert_ne!(one.get(..25), two.get(..25));
    }

    #[test]
    fn only_lengths_and_prefix_are_checked() {
        for (id, well_formed) in [
            (CAPTURED, true),
            ("not-an-id", false),
            ("caresp_short", false),
            ("_3b2e3854d944552200gCRLKeTUiEHZoEKFAQanKhoX4GVGpT3i", false),
            ("", false),
        ] {
            assert_eq!(is_well_formed(id), well_formed, "{id}");
        }
        assert!(!is_response_id(&new_id("msg", None)));
    }
}
