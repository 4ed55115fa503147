//! What the runtime knows of a binary before it runs: its name, its words, its settings.

use crate::setting::{self, Setting, Settings};

/// Which part of a pipe a binary is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Tap,
    Map,
    Target,
}

/// A binary.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) version: &'static str,
    /// Command lines for the end of `--help`.
    pub(crate) examples: &'static str,
    pub(crate) role: Role,
    /// The connector's own settings, then those that all of its role share.
    pub(crate) settings: Vec<Setting>,
}

impl Program {
    /// A binary whose own settings are those of `S`. A shared setting that the connector lists
    /// itself, with its own default, is not added.
    pub(crate) fn new<S: Settings>(
        role: Role,
        name: &'static str,
        description: &'static str,
        version: &'static str,
        examples: &'static str,
    ) -> Self {
        let mut settings = S::settings();
        let shared = match role {
            Role::Tap => vec![setting::start_date(), setting::user_agent()],
            Role::Map => Vec::new(),
            Role::Target => setting::target_settings(),
        };
        for setting in shared {
            if !settings.iter().any(|own| own.name == setting.name) {
                settings.push(setting);
            }
        }
        Self {
            name,
            description,
            version,
            examples,
            role,
            settings,
        }
    }
}
