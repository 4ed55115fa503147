//! Settings of the stand-in of Zoho accounts. Limits have the numbers of the facts; where the sources
//! disagree the setting lets a client be tried against each reading.

use clap::Args;

/// Settings of the stand-in of Zoho accounts.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Zoho accounts")]
pub struct ZohoOptions {
    /// The client id
    #[arg(
        id = "zoho-client-id",
        long = "zoho-client-id",
        value_name = "ID",
        default_value = "sandbox-client"
    )]
    pub client_id: String,

    /// The client secret
    #[arg(
        id = "zoho-client-secret",
        long = "zoho-client-secret",
        value_name = "SECRET",
        default_value = "sandbox-secret"
    )]
    pub client_secret: String,

    /// A refresh token; may be repeated
    #[arg(
        id = "zoho-refresh-token",
        long = "zoho-refresh-token",
        value_name = "TOKEN",
        default_value = "sandbox-refresh"
    )]
    pub refresh_tokens: Vec<String>,

    /// A grant code that can be exchanged once
    #[arg(
        id = "zoho-code",
        long = "zoho-code",
        value_name = "CODE",
        default_value = "sandbox-code"
    )]
    pub code: String,

    /// Seconds that the grant code is good for
    #[arg(
        id = "zoho-code-seconds",
        long = "zoho-code-seconds",
        value_name = "N",
        default_value_t = 180
    )]
    pub code_seconds: u64,

    /// A scope that the tokens open; may be repeated; all of them if left out
    #[arg(id = "zoho-scope", long = "zoho-scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,

    /// The address of the user that the tokens stand for
    #[arg(
        id = "zoho-user",
        long = "zoho-user",
        value_name = "ADDRESS",
        default_value = "ana@example.com"
    )]
    pub user: String,

    /// Seconds that an access token is good for
    #[arg(
        id = "zoho-token-seconds",
        long = "zoho-token-seconds",
        value_name = "N",
        default_value_t = 3600
    )]
    pub token_seconds: u64,

    /// Access tokens that one refresh token gives in ten minutes
    #[arg(
        id = "zoho-tokens-per-window",
        long = "zoho-tokens-per-window",
        value_name = "N",
        default_value_t = 10
    )]
    pub tokens_per_window: u32,

    /// Access tokens of one refresh token that are good at the same time (open: 10, 15 and 30 are documented)
    #[arg(
        id = "zoho-active-tokens",
        long = "zoho-active-tokens",
        value_name = "N",
        default_value_t = 15
    )]
    pub active_tokens: usize,

    /// The status of the throttle's answer (open: 400 now, 200 in older reports)
    #[arg(
        id = "zoho-throttle-status",
        long = "zoho-throttle-status",
        value_name = "STATUS",
        default_value_t = 400
    )]
    pub throttle_status: u16,

    /// Answer the life of a token as old tenants do: `expires_in` in milliseconds, `expires_in_sec` beside it
    #[arg(id = "zoho-legacy-expiry", long = "zoho-legacy-expiry")]
    pub legacy_expiry: bool,

    /// The `api_domain` of a token's answer; the sandbox's own address if left out
    #[arg(id = "zoho-api-domain", long = "zoho-api-domain", value_name = "URL")]
    pub api_domain: Option<String>,
}
