//! Owners: two different isolations never share saved state.

use super::*;
use crate::fuzz::{Words, below};
use bolero::generator::bolero_generator::driver::Driver;
use bolero::{ValueGenerator, check};
use cupola_protocol::isolation::Isolation;
use serde_json::{Value, json};

const WORDS: &[&str] = &["a", "b", "ab", "keys", "caller", "\u{1}", "0", "-"];

/// One text, cut into the three values in two ways: what a careless fingerprint takes for the same.
struct CutTwice;

impl ValueGenerator for CutTwice {
    type Output = [[String; 3]; 2];

    fn generate<D: Driver>(&self, driver: &mut D) -> Option<[[String; 3]; 2]> {
        let text: Vec<char> = Words(WORDS).generate(driver)?.chars().collect();
        let mut cut = || {
            let (left, right) = (below(driver, text.len() + 1)?, below(driver, text.len() + 1)?);
            let (left, right) = (left.min(right), left.max(right));
            Some([&text[..left], &text[left..right], &text[right..]].map(|part| part.iter().collect::<String>()))
        };
        Some([cut()?, cut()?])
    }
}

fn isolation(values: &[String; 3]) -> Option<(Value, Isolation)> {
    let names = ["userKey", "chatKey", "chat"];
    let given = names.iter().zip(values).filter(|(_, value)| !value.is_empty());
    let given = Value::Object(given.map(|(name, value)| ((*name).to_owned(), json!(value))).collect());
    Some((given.clone(), serde_json::from_value(given).ok()?))
}

#[test]
fn different_isolations_have_different_owners() {
    let agent = AgentKey::new(&serde_json::from_str(r#"{"kind":"emulator"}"#).unwrap());
    check!().with_generator(CutTwice).for_each(|[left, right]: &[[String; 3]; 2]| {
        let (Some(left), Some(right)) = (isolation(left), isolation(right)) else { return };
        let owner = |isolation: &Isolation| Owner::new(&agent, "caller", IsolationModel::Keys, isolation);
        assert_eq!(left.0 == right.0, owner(&left.1) == owner(&right.1), "{} {}", left.0, right.0);
    });
}
