//! The beginning of an id in place of the id: tables on a terminal show no more, and people type no more.

use crate::failure::Failure;
use crate::show::table::CUT;

/// The shortest beginning that is accepted. Less is more likely a slip than a choice, and some commands delete.
const SHORTEST: usize = 4;
/// How many ids an error lists.
const LISTED: usize = 10;

/// The only one of these ids that begins like this; nothing if there is none. The id itself wins over longer ones.
pub(super) fn whole(given: &str, known: &[String]) -> Result<Option<String>, Failure> {
    let beginning = given.trim_end_matches(CUT);
    if let Some(id) = known.iter().find(|id| *id == beginning) {
        return Ok(Some(id.clone()));
    }
    let mut fitting: Vec<&String> = known.iter().filter(|id| id.starts_with(beginning)).collect();
    fitting.sort_unstable();
    fitting.dedup();
    match fitting.as_slice() {
        _ if beginning.len() < SHORTEST => Ok(None),
        [] => Ok(None),
        [id] => Ok(Some((*id).clone())),
        several => {
            let more = if several.len() > LISTED { ", …" } else { "" };
            let listed: Vec<_> = several.iter().take(LISTED).map(|id| id.as_str()).collect();
            Err(Failure::usage(format!(
                "{} ids begin with {beginning:?}; type more of the one you mean: {}{more}",
                several.len(),
                listed.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_enough_when_it_is_the_only_one() {
        let known = ["sess_abc1", "sess_abc123", "sess_xyz"].map(str::to_owned);
        for (given, id) in [
            ("sess_x", Some("sess_xyz")),
            ("sess_xy…", Some("sess_xyz")),
            ("sess_abc1", Some("sess_abc1")),
            ("sess_abc12", Some("sess_abc123")),
            ("sess_q", None),
            ("", None),
            ("ses", None),
        ] {
            assert_eq!(whole(given, &known).unwrap().as_deref(), id, "{given:?}");
        }
        let Err(Failure::Usage { message, .. }) = whole("sess_a", &known) else { panic!("one was chosen") };
        assert_eq!(message, "2 ids begin with \"sess_a\"; type more of the one you mean: sess_abc1, sess_abc123");
    }
}
