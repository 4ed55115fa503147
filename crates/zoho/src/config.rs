//! The part of a config that says who asks; its settings table is `singer_runtime::setting::zoho`.

use serde::Deserialize;
use singer_core::SecretSource;

use crate::DataCenter;

/// A self client and its data centre. Flattened into the config of a connector.
#[derive(Debug, Clone, Deserialize)]
pub struct AccountConfig {
    /// The client's id.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: SecretSource,
    /// The refresh token.
    pub refresh_token: SecretSource,
    /// Where the account lives.
    pub data_center: DataCenter,
    /// The accounts server, if it is not that of the data centre.
    #[serde(default)]
    pub accounts_url: Option<String>,
    /// The file in which access tokens are kept; `none` for no file.
    #[serde(default)]
    pub token_cache_path: Option<String>,
}
