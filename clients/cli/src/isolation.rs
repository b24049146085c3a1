//! `--user-isolation-key` and its relatives: whose state a call may see, resolved per call on the client's side.

use crate::environment::Environment;
use crate::failure::Failure;
use clap::{Args, ValueEnum};
use cupola_protocol::isolation::{ChatLabel, Isolation, IsolationModel, UserIdentity};

/// The flags every command that touches an agent takes.
#[expect(clippy::doc_markdown, reason = "the comments are help texts")]
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Isolation")]
pub(crate) struct IsolationFlags {
    /// Whose state: the user's isolation key, passed on verbatim [env: CUPOLA_USER_ISOLATION_KEY]
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub user_isolation_key: Option<String>,
    /// Which chat of that user: the chat's isolation key, passed on verbatim [env: CUPOLA_CHAT_ISOLATION_KEY]
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub chat_isolation_key: Option<String>,
    /// On whose behalf you act, for agents of container protocol 2.0.0 [env: CUPOLA_USER_IDENTITY]
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub user_identity: Option<String>,
    /// A label that separates chats in Cupola's own saved state; nothing of it is sent
    #[arg(long, value_name = "LABEL", allow_hyphen_values = true)]
    pub chat: Option<String>,
    /// How the agent isolates its users, instead of finding out
    #[arg(long, value_name = "MODEL")]
    pub isolation_model: Option<Model>,
}

/// `--isolation-model`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Model {
    /// Container protocol 1.0.0: isolation-key headers
    Keys,
    /// Container protocol 2.0.0: your identity, or --user-identity
    Identity,
    /// Nothing is sent; Cupola keeps a session and a conversation per key
    Local,
}

impl From<Model> for IsolationModel {
    fn from(model: Model) -> Self {
        match model {
            Model::Keys => Self::Keys,
            Model::Identity => Self::Identity,
            Model::Local => Self::Local,
        }
    }
}

impl IsolationFlags {
    /// Flags first, then variables. A flag that names the user, of either kind, silences both variables that do: a
    /// leftover variable must not add a second user to a call.
    pub(crate) fn resolve(&self, environment: &Environment) -> Result<Isolation, Failure> {
        let mut isolation = Isolation { model: self.isolation_model.map(Into::into), ..Isolation::default() };
        let user_is_named = self.user_isolation_key.is_some() || self.user_identity.is_some();
        let user_key = Given::first(
            ("--user-isolation-key", self.user_isolation_key.as_ref()),
            ("CUPOLA_USER_ISOLATION_KEY", !user_is_named),
            environment,
        )?;
        let identity = Given::first(
            ("--user-identity", self.user_identity.as_ref()),
            ("CUPOLA_USER_IDENTITY", !user_is_named),
            environment,
        )?;
        let chat_is_named = self.chat_isolation_key.is_some() || self.chat.is_some();
        let chat_key = Given::first(
            ("--chat-isolation-key", self.chat_isolation_key.as_ref()),
            ("CUPOLA_CHAT_ISOLATION_KEY", !chat_is_named),
            environment,
        )?;
        if let Some(given) = user_key {
            isolation.user_key = Some(key(given.name, given.value)?);
        }
        if let Some(given) = chat_key {
            isolation.chat_key = Some(key(given.name, given.value)?);
        }
        if let Some(given) = identity {
            isolation.user_identity = Some(given.value.parse().map_err(|_| refusal(given.name, UserIdentity::RULE))?);
        }
        if let Some(chat) = &self.chat {
            isolation.chat = Some(chat.parse().map_err(|_| refusal("--chat", ChatLabel::RULE))?);
        }
        Ok(isolation)
    }
}

/// `--isolation-key` of `sessions create` and `sessions delete`.
pub(crate) fn ownership(isolation: &mut Isolation, key_given: Option<&String>) -> Result<(), Failure> {
    if let Some(value) = key_given {
        isolation.ownership_key = Some(key("--isolation-key", value.clone())?);
    }
    Ok(())
}

/// A value and the name under which the user gave it.
struct Given {
    name: &'static str,
    value: String,
}

impl Given {
    /// The flag, else the variable if it may speak.
    fn first(
        (flag, value): (&'static str, Option<&String>),
        (variable, heard): (&'static str, bool),
        environment: &Environment,
    ) -> Result<Option<Self>, Failure> {
        if let Some(value) = value {
            return Ok(Some(Self { name: flag, value: value.clone() }));
        }
        if !heard {
            return Ok(None);
        }
        Ok(environment.text(variable)?.map(|value| Self { name: variable, value }))
    }
}

fn key(name: &'static str, value: String) -> Result<cupola_protocol::isolation::IsolationKey, Failure> {
    Isolation::key(name, value).map_err(|invalid| refusal(name, invalid.rule))
}

/// Names the flag and the rule, never the value.
fn refusal(name: &str, rule: &str) -> Failure {
    Failure::usage(format!("{name} {rule}"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            (flags(Some(""), None), "--user-isolation-key"),
            (flags(None, Some("hush hush")), "--user-identity"),
            (
                IsolationFlags { chat_isolation_key: Some(bad.to_owned()), ..flags(Some("u"), None) },
                "--chat-isolation-key",
            ),
            (IsolationFlags { chat: Some("a\0".to_owned()), ..flags(Some("u"), None) }, "--chat"),
            (flags(None, None), "CUPOLA_USER_ISOLATION_KEY"),
        ] {
            let Err(Failure::Usage { message, .. }) = flags.resolve(&environment) else {
                panic!("{name} was accepted")
            };
            assert!(message.starts_with(&format!("{name} must be")), "{message}");
            assert!(!message.contains("hush"), "{message}");
        }
        let mut isolation = Isolation::default();
        let refused = ownership(&mut isolation, Some(&bad.to_owned())).unwrap_err();
        assert!(matches!(refused, Failure::Usage { message, .. } if message.starts_with("--isolation-key must be")));
    }

    #[test]
    fn flags_win_and_a_named_user_silences_every_user_variable() {
        let environment = Environment::of(&[
            ("CUPOLA_USER_ISOLATION_KEY", "from-env"),
            ("CUPOLA_USER_IDENTITY", "env@contoso.com"),
            ("CUPOLA_CHAT_ISOLATION_KEY", "chat-env"),
        ]);
        let resolved = flags(Some("from-flag"), None).resolve(&environment).unwrap();
        assert_eq!(resolved.user_key.unwrap().as_str(), "from-flag");
        assert_eq!(resolved.user_identity, None);
        assert_eq!(resolved.chat_key.unwrap().as_str(), "chat-env");

        let resolved = flags(None, Some("bob")).resolve(&environment).unwrap();
        assert_eq!((resolved.user_key, resolved.user_identity.unwrap().as_str()), (None, "bob"));

        let resolved = flags(None, None).resolve(&environment).unwrap();
        assert_eq!(resolved.user_key.unwrap().as_str(), "from-env");

        let resolved = flags(None, None).resolve(&Environment::process(true)).unwrap();
        assert_eq!(resolved, Isolation::default());
    }
}
