//! Credentials of AWS: for the store on S3 and for notices by SNS, from the same places.
//!
//! A profile that is named (or `AWS_PROFILE`) is read from `~/.aws/credentials`; without one, the variables of the
//! environment, the credentials of a container, of a web identity, and at last of the machine count.

use std::path::PathBuf;
use std::sync::Arc;

use object_store::StaticCredentialProvider;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential};
use singer_core::{Error, Result};

/// What a request to AWS is signed with.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) credential: Arc<AwsCredential>,
    pub(crate) region: String,
}

/// Resolves credentials and the region. Nothing is kept: those of a machine change by the hour.
///
/// # Errors
/// Of kind `Config` for a profile that is not there, of kind `Auth` if nothing gives credentials.
pub(crate) async fn credentials(
    profile: Option<&str>,
    region: Option<&str>,
) -> Result<Credentials> {
    let resolved = builder(profile, region)?;
    let region = resolved
        .region
        .clone()
        .unwrap_or_else(|| "us-east-1".to_owned());
    // The builder resolves for a bucket; only the way to its credentials is used.
    let client = resolved
        .builder
        .with_bucket_name("none")
        .build()
        .map_err(|error| {
            Error::config("the credentials of AWS are incomplete").with_source(error)
        })?;
    let credential = client
        .credentials()
        .get_credential()
        .await
        .map_err(|error| {
            Error::auth("nothing gives credentials of AWS")
                .with_source(error)
                .with_hint("set `profile`, or `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`")
        })?;
    Ok(Credentials { credential, region })
}

/// A builder with credentials and region, and who is meant by them.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) builder: AmazonS3Builder,
    pub(crate) region: Option<String>,
    /// For messages: never the secret.
    pub(crate) user: String,
}

/// A builder that holds the credentials of a profile or of the environment, and the region.
pub(crate) fn builder(profile: Option<&str>, region: Option<&str>) -> Result<Resolved> {
    singer_net::install_tls();
    let mut builder = AmazonS3Builder::from_env();
    let wanted = profile
        .map(str::to_owned)
        .or_else(|| variable("AWS_PROFILE"));
    let has_keys = builder
        .get_config_value(&AmazonS3ConfigKey::AccessKeyId)
        .is_some();
    let has_identity = builder
        .get_config_value(&AmazonS3ConfigKey::WebIdentityTokenFile)
        .is_some();
    // Keys in the environment win over its `AWS_PROFILE`, as in Amazon's own tools; a profile that the project
    // names wins over both.
    let found = match wanted.filter(|_| profile.is_some() || !has_keys) {
        Some(name) => Some(read_profile(&name)?),
        None if has_keys || has_identity => None,
        None => default_profile()?,
    };
    let mut user = "who the environment names".to_owned();
    let mut profile_region = None;
    if let Some(found) = found {
        user = format!("the profile `{}`", found.name);
        profile_region = found.region;
        builder =
            builder.with_credentials(Arc::new(StaticCredentialProvider::new(found.credential)));
    }
    let region = region
        .map(str::to_owned)
        .or_else(|| builder.get_config_value(&AmazonS3ConfigKey::Region))
        .or(profile_region);
    if let Some(region) = &region {
        builder = builder.with_region(region);
    }
    Ok(Resolved {
        builder,
        region,
        user,
    })
}

/// A profile of `~/.aws/credentials` with its own keys.
#[derive(Debug)]
struct Profile {
    name: String,
    credential: AwsCredential,
    region: Option<String>,
}

fn read_profile(name: &str) -> Result<Profile> {
    let path = credentials_file();
    let missing = |hint: &str| {
        Error::config(format!(
            "there are no keys of the AWS profile `{name}` in `{}`",
            path.display()
        ))
        .with_hint(hint.to_owned())
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|error| missing("the file cannot be read").with_source(error))?;
    let config = std::fs::read_to_string(config_file()).unwrap_or_default();
    let Some(found) = parse_profile(name, &text, &config) else {
        return Err(missing(
            "it needs `aws_access_key_id` and `aws_secret_access_key`; a profile that signs in elsewhere (SSO, `role_arn`) is not understood: export its keys as variables",
        ));
    };
    Ok(found)
}

/// The profile that counts when none is named; most machines have none.
fn default_profile() -> Result<Option<Profile>> {
    match std::fs::read_to_string(credentials_file()) {
        Ok(text) => {
            let config = std::fs::read_to_string(config_file()).unwrap_or_default();
            Ok(parse_profile("default", &text, &config))
        }
        Err(_) => Ok(None),
    }
}

fn parse_profile(name: &str, credentials: &str, config: &str) -> Option<Profile> {
    let own = section(credentials, name);
    let beside = if name == "default" {
        section(config, name)
    } else {
        section(config, &format!("profile {name}"))
    };
    let value = |key: &str| {
        own.iter()
            .chain(&beside)
            .find(|(name, _)| name.eq_ignore_ascii_case(key))
            .map(|(_, value)| (*value).to_owned())
    };
    Some(Profile {
        name: name.to_owned(),
        credential: AwsCredential {
            key_id: value("aws_access_key_id")?,
            secret_key: value("aws_secret_access_key")?,
            token: value("aws_session_token"),
        },
        region: value("region"),
    })
}

/// The keys and values of a section of an INI file.
fn section<'a>(text: &'a str, name: &str) -> Vec<(&'a str, &'a str)> {
    let mut is_inside = false;
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(head) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            is_inside = head.split_whitespace().eq(name.split_whitespace());
        } else if is_inside && let Some((key, value)) = line.split_once('=') {
            found.push((key.trim(), value.trim()));
        }
    }
    found
}

fn credentials_file() -> PathBuf {
    named_file("AWS_SHARED_CREDENTIALS_FILE", "credentials")
}

fn config_file() -> PathBuf {
    named_file("AWS_CONFIG_FILE", "config")
}

fn named_file(name: &str, otherwise: &str) -> PathBuf {
    match variable(name) {
        Some(path) => path.into(),
        None => PathBuf::from(variable("HOME").unwrap_or_default())
            .join(".aws")
            .join(otherwise),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "these variables are the convention of AWS' own tools"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "\
[default]
aws_access_key_id = one
aws_secret_access_key=two

# a comment
[ data ]
aws_access_key_id = three
aws_secret_access_key = fo=ur
aws_session_token = five
[empty]
role_arn = x
";
    const CONFIG: &str = "[default]\nregion = eu-west-1\n[profile data]\nregion=us-west-2\n";

    #[test]
    fn a_profile_is_read_from_both_files() {
        let found = parse_profile("data", CREDENTIALS, CONFIG).unwrap();
        assert_eq!(found.credential.key_id, "three");
        assert_eq!(found.credential.secret_key, "fo=ur");
        assert_eq!(found.credential.token.as_deref(), Some("five"));
        assert_eq!(found.region.as_deref(), Some("us-west-2"));
        let found = parse_profile("default", CREDENTIALS, CONFIG).unwrap();
        assert_eq!(
            (found.credential.key_id.as_str(), found.region.as_deref()),
            ("one", Some("eu-west-1"))
        );
        assert!(found.credential.token.is_none());
    }

    #[test]
    fn a_profile_without_keys_is_none() {
        assert!(parse_profile("empty", CREDENTIALS, CONFIG).is_none());
        assert!(parse_profile("other", CREDENTIALS, CONFIG).is_none());
        assert!(!format!("{:?}", parse_profile("data", CREDENTIALS, CONFIG)).contains("fo=ur"));
    }
}
