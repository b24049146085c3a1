//! `--user-isolation-key` and its relatives: whose state a call may see, resolved per call on the client's side.

use super::model::Model;
use super::profile::Profile;
use super::sourced::Sourced;
use crate::environment::{CHAT_KEY, Environment, IDENTITY, USER_KEY};
use crate::failure::Failure;
use clap::Args;
use cupola_protocol::isolation::{ChatLabel, Isolation, UserIdentity};

/// The flags every command that touches an agent takes.
#[expect(clippy::doc_markdown, reason = "the comments are help texts")]
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Isolation")]
pub(crate) struct IsolationFlags {
    /// The user's isolation key, sent unchanged [env: CUPOLA_USER_ISOLATION_KEY]
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub user_isolation_key: Option<String>,
    /// The chat's isolation key, sent unchanged [env: CUPOLA_CHAT_ISOLATION_KEY]
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub chat_isolation_key: Option<String>,
    /// The user you act for, with agents that use container protocol 2.0.0 [env: CUPOLA_USER_IDENTITY]
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub user_identity: Option<String>,
    /// A label that separates chats in Cupola's saved state; it is never sent
    #[arg(long, value_name = "LABEL", allow_hyphen_values = true)]
    pub chat: Option<String>,
    /// How the agent isolates its users; detected if omitted
    #[arg(long, value_name = "MODEL")]
    pub isolation_model: Option<Model>,
    /// Nothing else names a user or a chat: no variable, no profile. How a chat uses no key where they name one.
    #[arg(skip)]
    pub alone: bool,
}

impl IsolationFlags {
    /// Flags first, then variables, then the profile. Whichever first names the user, by key or identity, silences what the
    /// others say about the user; so does whichever first names the chat: half of one isolation and half of another would be
    /// a third user.
    pub(crate) fn resolve(&self, environment: &Environment, profile: &Profile) -> Result<Isolation, Failure> {
        let flag = |name: &str, value: &Option<String>| value.as_deref().map(|value| Sourced::new(name, value));
        // As in azd, an empty flag sends nothing. It still speaks: nothing else names a user then.
        let sent = |given: Option<Sourced>| given.filter(|given| !given.is_empty_flag());
        let variable = |name: &str| {
            let value = if self.alone { None } else { environment.text(name)? };
            Ok::<_, Failure>(value.map(|value| Sourced::new(name, &value)))
        };
        let field = |field: &str, value: Option<&String>| {
            value
                .filter(|_| !self.alone)
                .map(|value| Sourced::new(format!("{field} of profile {}", profile.name), value))
        };
        let (user_key, identity) = first_named(
            (flag("--user-isolation-key", &self.user_isolation_key), flag("--user-identity", &self.user_identity)),
            || Ok((variable(USER_KEY)?, variable(IDENTITY)?)),
            (
                field("user_isolation_key", profile.user_isolation_key()),
                field("user_identity", profile.user_identity()),
            ),
        )?;
        let (chat_key, label) = first_named(
            (flag("--chat-isolation-key", &self.chat_isolation_key), flag("--chat", &self.chat)),
            || Ok((variable(CHAT_KEY)?, None)),
            (field("chat_isolation_key", profile.chat_isolation_key()), field("chat", profile.chat.as_ref())),
        )?;
        let model = self.isolation_model.or(profile.isolation_model);
        Ok(Isolation {
            model: model.map(Into::into),
            user_key: sent(user_key).map(Sourced::key).transpose()?,
            chat_key: sent(chat_key).map(Sourced::key).transpose()?,
            user_identity: sent(identity).map(|given| given.parse_secret(UserIdentity::RULE)).transpose()?,
            chat: label.map(|given| given.parse_secret(ChatLabel::RULE)).transpose()?,
            ..Isolation::default()
        })
    }
}

/// The first source that says anything. Variables are not even looked at when a flag speaks.
fn first_named(
    flags: (Option<Sourced>, Option<Sourced>),
    variables: impl FnOnce() -> Result<(Option<Sourced>, Option<Sourced>), Failure>,
    profile: (Option<Sourced>, Option<Sourced>),
) -> Result<(Option<Sourced>, Option<Sourced>), Failure> {
    let speaks = |pair: &(Option<Sourced>, Option<Sourced>)| pair.0.is_some() || pair.1.is_some();
    if speaks(&flags) {
        return Ok(flags);
    }
    let variables = variables()?;
    Ok(if speaks(&variables) { variables } else { profile })
}

/// `--isolation-key` of `sessions create` and `sessions delete`, else the one of the profile.
pub(crate) fn ownership(isolation: &mut Isolation, flag: Option<&String>, profile: &Profile) -> Result<(), Failure> {
    let flag = flag.map(|value| Sourced::new("--isolation-key", value));
    let of_profile = || {
        let source = format!("ownership_key of profile {}", profile.name);
        Some(Sourced::new(source, profile.ownership_key()?))
    };
    let given = flag.or_else(of_profile).filter(|given| !given.is_empty_flag());
    isolation.ownership_key = given.map(Sourced::key).transpose()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cupola_protocol::isolation::{IsolationKey, IsolationModel};

    fn flags(user: Option<&str>, identity: Option<&str>) -> IsolationFlags {
        IsolationFlags {
            user_isolation_key: user.map(str::to_owned),
            user_identity: identity.map(str::to_owned),
            ..IsolationFlags::default()
        }
    }

    #[test]
    fn a_bad_key_is_refused_by_the_name_it_was_given_under_and_never_shown() {
        let bad = "hush\r\nx-evil: 1";
        let environment = Environment::of(&[("CUPOLA_USER_ISOLATION_KEY", "hush\n")]);
        for (flags, name) in [
            (flags(Some(bad), None), "--user-isolation-key"),
            (flags(None, Some("hush hush")), "--user-identity"),
            (
                IsolationFlags { chat_isolation_key: Some(bad.to_owned()), ..flags(Some("u"), None) },
                "--chat-isolation-key",
            ),
            (IsolationFlags { chat: Some("a\0".to_owned()), ..flags(Some("u"), None) }, "--chat"),
            (flags(None, None), "CUPOLA_USER_ISOLATION_KEY"),
        ] {
            let Err(Failure::Usage { message, .. }) = flags.resolve(&environment, &Profile::default()) else {
                panic!("{name} was accepted")
            };
            assert!(message.starts_with(&format!("{name} must be")), "{message}");
            assert!(!message.contains("hush"), "{message}");
        }
        let mut isolation = Isolation::default();
        let refused = ownership(&mut isolation, Some(&bad.to_owned()), &Profile::default()).unwrap_err();
        assert!(matches!(refused, Failure::Usage { message, .. } if message.starts_with("--isolation-key must be")));
    }

    #[test]
    fn an_empty_flag_sends_nothing_and_silences_variables_and_profile() {
        let environment = Environment::of(&[("CUPOLA_USER_ISOLATION_KEY", "u"), ("CUPOLA_CHAT_ISOLATION_KEY", "c")]);
        let profile: Profile = toml::from_str("ownership_key = \"sk\"\nuser_isolation_key = \"p\"").unwrap();
        let flags = IsolationFlags { chat_isolation_key: Some(String::new()), ..flags(Some(""), None) };
        let mut resolved = flags.resolve(&environment, &profile).unwrap();
        ownership(&mut resolved, Some(&String::new()), &profile).unwrap();
        assert_eq!(resolved, Isolation::default());
        let profile: Profile = toml::from_str("user_isolation_key = \"\"").unwrap();
        assert!(IsolationFlags::default().resolve(&Environment::of(&[]), &profile).is_err());
    }

    #[test]
    fn a_profile_owns_sessions_unless_the_flag_says_who_does() {
        let profile: Profile = toml::from_str("ownership_key = \"sk-profile\"").unwrap();
        for (flag, profile, expected) in [
            (None, &profile, Some("sk-profile")),
            (Some("sk-flag".to_owned()), &profile, Some("sk-flag")),
            (None, &Profile::default(), None),
        ] {
            let mut isolation = Isolation::default();
            ownership(&mut isolation, flag.as_ref(), profile).unwrap();
            assert_eq!(isolation.ownership_key.as_ref().map(IsolationKey::as_str), expected);
        }
    }

    #[test]
    fn flags_win_and_a_named_user_silences_every_user_variable() {
        let environment = Environment::of(&[
            ("CUPOLA_USER_ISOLATION_KEY", "from-env"),
            ("CUPOLA_USER_IDENTITY", "env@contoso.com"),
            ("CUPOLA_CHAT_ISOLATION_KEY", "chat-env"),
        ]);
        let resolved = flags(Some("from-flag"), None).resolve(&environment, &Profile::default()).unwrap();
        assert_eq!(resolved.user_key.unwrap().as_str(), "from-flag");
        assert_eq!(resolved.user_identity, None);
        assert_eq!(resolved.chat_key.unwrap().as_str(), "chat-env");

        let resolved = flags(None, Some("bob")).resolve(&environment, &Profile::default()).unwrap();
        assert_eq!((resolved.user_key, resolved.user_identity.unwrap().as_str()), (None, "bob"));

        let resolved = flags(None, None).resolve(&environment, &Profile::default()).unwrap();
        assert_eq!(resolved.user_key.unwrap().as_str(), "from-env");

        let resolved = flags(None, None).resolve(&Environment::process(true), &Profile::default()).unwrap();
        assert_eq!(resolved, Isolation::default());
    }

    #[test]
    fn the_first_source_that_names_a_user_sets_the_whole_isolation() {
        let profile: Profile =
            toml::from_str("user_isolation_key = \"from-profile\"\nchat = \"desk\"\nisolation_model = \"local\"")
                .unwrap();
        let none = Environment::of(&[]);
        let resolved = flags(None, None).resolve(&none, &profile).unwrap();
        assert_eq!(resolved.user_key.unwrap().as_str(), "from-profile");
        assert_eq!((resolved.chat.unwrap().as_str(), resolved.model), ("desk", Some(IsolationModel::Local)));
        let environment = Environment::of(&[("CUPOLA_USER_IDENTITY", "bob"), ("CUPOLA_CHAT_ISOLATION_KEY", "c")]);
        let resolved = flags(None, None).resolve(&environment, &profile).unwrap();
        assert_eq!((resolved.user_key, resolved.user_identity.unwrap().as_str()), (None, "bob"));
        assert_eq!((resolved.chat, resolved.chat_key.unwrap().as_str()), (None, "c"));
        let resolved = flags(Some("from-flag"), None).resolve(&environment, &profile).unwrap();
        assert_eq!((resolved.user_key.unwrap().as_str(), resolved.user_identity), ("from-flag", None));
    }
}
