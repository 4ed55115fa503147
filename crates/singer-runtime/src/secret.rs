//! Reading secrets from where a config says that they are: text, environment, file, command.

use std::process::Stdio;
use std::time::Duration;

use singer_core::{Error, Result, Secret, SecretSource};
use tokio::process::Command;

/// How long a command may take to print a secret; a password manager may ask a remote service.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) async fn read(source: &SecretSource) -> Result<Secret> {
    let (text, place) = match source {
        SecretSource::Text(secret) => return Ok(secret.clone()),
        SecretSource::Env(name) => (from_environment(name)?, format!("the variable `{name}`")),
        SecretSource::File(path) => (from_file(path).await?, format!("the file `{path}`")),
        SecretSource::Command(line) => (
            from_command(line, COMMAND_TIMEOUT).await?,
            "the command".to_owned(),
        ),
    };
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(Error::config(format!(
            "{place} that should give a secret is empty"
        )));
    }
    Ok(Secret::new(text))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the config names this variable: reading it is part of loading the config"
)]
fn from_environment(name: &str) -> Result<String> {
    std::env::var(name).map_err(|error| {
        let what = match error {
            std::env::VarError::NotPresent => "is not set",
            std::env::VarError::NotUnicode(_) => "is not UTF-8",
        };
        Error::config(format!(
            "the variable `{name}` that should give a secret {what}"
        ))
    })
}

async fn from_file(path: &str) -> Result<String> {
    tokio::fs::read_to_string(path).await.map_err(|error| {
        Error::config(format!(
            "cannot read the file `{path}` that should give a secret"
        ))
        .with_source(error)
    })
}

/// The command's text and its output never reach a message: either may hold the secret.
async fn from_command(line: &str, timeout: Duration) -> Result<String> {
    let failed = |what: String| Error::config(format!("the command for a secret {what}"));
    let child = Command::new("sh")
        .arg("-c")
        .arg(line)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed("cannot be started".to_owned()).with_source(error))?;
    let output = tokio::time::timeout(timeout, child.wait_with_output())
        .await
        .map_err(|_| failed(format!("took longer than {} s", timeout.as_secs())))?
        .map_err(|error| failed("cannot be awaited".to_owned()).with_source(error))?;
    if !output.status.success() {
        return Err(failed(format!("ended with {}", output.status)));
    }
    String::from_utf8(output.stdout).map_err(|_| failed("printed what is not UTF-8".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_gives_its_output_without_the_line_end() {
        let source = SecretSource::Command("printf 'a b\\n'".to_owned());
        assert_eq!(read(&source).await.unwrap().expose(), "a b");
    }

    #[tokio::test]
    async fn a_failed_command_is_reported_without_its_text_and_output() {
        let error = read(&SecretSource::Command("echo hunter2; exit 3".to_owned()))
            .await
            .unwrap_err();
        assert_eq!(
            error.message(),
            "the command for a secret ended with exit status: 3"
        );
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_given_up() {
        let error = from_command("sleep 20", Duration::from_millis(20))
            .await
            .unwrap_err();
        assert_eq!(
            error.message(),
            "the command for a secret took longer than 0 s"
        );
    }

    #[tokio::test]
    async fn a_missing_variable_and_a_missing_file_are_named() {
        let error = read(&SecretSource::Env("NO_SUCH_VARIABLE_HERE".to_owned()))
            .await
            .unwrap_err();
        assert!(error.message().contains("`NO_SUCH_VARIABLE_HERE`"));
        let error = read(&SecretSource::File("no/such/file".to_owned()))
            .await
            .unwrap_err();
        assert!(error.message().contains("`no/such/file`"));
    }
}
