//! How an agent isolates its users, as the flag and a profile say it.

use clap::ValueEnum;
use cupola_protocol::isolation::IsolationModel;
use serde::Deserialize;

/// `--isolation-model`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Model {
    /// Container protocol 1.0.0: isolation-key headers
    Keys,
    /// Container protocol 2.0.0: your identity, or --user-identity
    Identity,
    /// Nothing is sent; Cupola keeps one session and conversation per key
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
