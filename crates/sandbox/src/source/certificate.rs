//! A certificate authority of one day and a server certificate that it signed, made with the
//! program `openssl`, so that clients can be tested against TLS.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

const KEY: [&str; 5] = [
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
];

/// Writes `ca.crt`, `server.crt` and `server.key` into the folder. Each name is a host name or
/// an IP address that the server certificate is good for.
pub(crate) fn create(folder: &Path, names: &[String]) -> Result<()> {
    let names: Vec<String> = names.iter().map(|name| alternative_name(name)).collect();
    let extensions = format!(
        "subjectAltName={}\nextendedKeyUsage=serverAuth\n",
        names.join(",")
    );
    std::fs::write(folder.join("extensions"), extensions)
        .context("cannot write the extensions of the certificate")?;

    let authority = [
        &[
            "req",
            "-x509",
            "-days",
            "2",
            "-subj",
            "/CN=antiphon certificate authority",
        ][..],
        &[
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=keyCertSign",
        ],
        &["-keyout", "ca.key", "-out", "ca.crt"],
        &KEY,
    ];
    openssl(folder, &authority.concat())?;
    let request = [
        &[
            "req",
            "-subj",
            "/CN=antiphon",
            "-keyout",
            "server.key",
            "-out",
            "server.csr",
        ][..],
        &KEY,
    ];
    openssl(folder, &request.concat())?;
    let signature = [
        &[
            "x509",
            "-req",
            "-days",
            "2",
            "-in",
            "server.csr",
            "-out",
            "server.crt",
        ][..],
        &[
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-set_serial",
            "1",
            "-extfile",
            "extensions",
        ],
    ];
    openssl(folder, &signature.concat())
}

fn alternative_name(name: &str) -> String {
    let kind = if name.parse::<std::net::IpAddr>().is_ok() {
        "IP"
    } else {
        "DNS"
    };
    format!("{kind}:{name}")
}

fn openssl(folder: &Path, arguments: &[&str]) -> Result<()> {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .context("cannot run `openssl`, which makes the server's certificate")?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        bail!("`openssl {}` failed: {}", arguments[0], message.trim());
    }
    Ok(())
}
