//! A PostgreSQL cluster of one's own: made in a temporary folder, listening on a free port of
//! 127.0.0.1, gone without a trace when its owner is done with it or is dead. The tables are
//! other modules' business; so is a machine without PostgreSQL.
//!
//! The server's parent is a small shell script, not this process. It holds the reading end of a
//! pipe; whatever happens to this process, even `kill -9`, closes the pipe, and the script then
//! stops the server and removes the folder.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, bail};

use crate::source::binaries::Binaries;
use crate::source::certificate;
use crate::source::connection::Connection;
use crate::source::private_folder::PrivateFolder;

/// Makes the cluster, runs the server, waits for the pipe on stdin to close, cleans up.
/// `$1` programs, `$2` folder, `$3` authentication, then the server's own arguments.
const GUARDIAN: &str = r#"
programs=$1 folder=$2 authentication=$3
shift 3
trap '' HUP INT TERM
cd "$folder" || exit 1
if "$programs/initdb" --pgdata=data --username=antiphon --pwfile=password --encoding=UTF8 \
    --locale=C --auth="$authentication" --no-sync </dev/null >log 2>&1
then
    "$programs/postgres" -D data "$@" </dev/null >>log 2>&1 &
    server=$!
else
    echo "FATAL: initdb failed" >>log
fi
read -r line
if [ -n "$server" ]
then
    # A background job of a shell ignores this signal until the server has set up its own handler.
    while kill -QUIT "$server" 2>/dev/null
    do
        sleep 0.05
    done
fi
cd /
rm -rf "$folder"
"#;

const START_PATIENCE: Duration = Duration::from_secs(60);
const POLL_PAUSE: Duration = Duration::from_millis(10);
/// How often a port that somebody else took in the meantime is replaced by another one.
const PORT_ATTEMPTS: usize = 10;
/// The longest path of a Unix socket that every system takes, less the file name's part.
const SOCKET_FOLDER_BYTES: usize = 80;

/// How the server proves who its clients are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authentication {
    /// SCRAM-SHA-256.
    #[default]
    Scram,
    /// MD5, as Redshift does.
    Md5,
    /// The password as it is.
    ClearText,
}

/// What differs from cluster to cluster.
#[derive(Clone, Debug, Default)]
pub struct PrivateServerOptions {
    /// How passwords are checked.
    pub authentication: Authentication,
    /// Names and addresses that the server's certificate is made for, such as `localhost` or
    /// `127.0.0.1`. TLS is off if there are none; it needs the program `openssl` otherwise.
    pub certificate_names: Vec<String>,
    /// Further server settings, as in `("shared_buffers", "512MB")`.
    pub settings: Vec<(String, String)>,
}

/// A running cluster with one database `antiphon` owned by the superuser `antiphon`.
/// Dropping it stops the server and removes its folder.
#[derive(Debug)]
pub struct PrivateServer {
    guardian: Child,
    /// Removed after the guardian is gone, should it not have been able to.
    folder: PrivateFolder,
    connection: Connection,
    version: (u32, u32),
    ca_file: Option<PathBuf>,
}

impl PrivateServer {
    /// Starts the newest PostgreSQL of this machine; an error if there is none.
    pub async fn start(options: PrivateServerOptions) -> Result<Self> {
        let binaries = Binaries::find().context(
            "no PostgreSQL server was found on PATH or where packages put one; \
             on Debian `apt install postgresql` brings it",
        )?;
        Self::start_with(binaries, options).await
    }

    /// Starts the server whose programs were found earlier.
    pub async fn start_with(binaries: Binaries, options: PrivateServerOptions) -> Result<Self> {
        let server = tokio::task::spawn_blocking(move || Self::launch(&binaries, &options))
            .await
            .context("the task that starts PostgreSQL panicked")??;
        server.prepare().await?;
        Ok(server)
    }

    /// How the superuser reaches the database `antiphon`.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The same as a URL, password included.
    pub fn url(&self) -> String {
        self.connection.url()
    }

    /// Major and minor version of the server.
    pub fn version(&self) -> (u32, u32) {
        self.version
    }

    /// The certificate authority that signed the server's certificate, if TLS is on.
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// The server's log so far, for a test that failed.
    pub fn log(&self) -> String {
        read_log(self.folder.path())
    }

    /// Makes an empty database in this cluster, so that tests can share the cluster.
    pub async fn create_database(&self, name: &str) -> Result<Connection> {
        let session = self.connection.connect().await?;
        session
            .batch_execute(&format!(
                "CREATE DATABASE \"{}\"",
                name.replace('"', "\"\"")
            ))
            .await
            .with_context(|| format!("cannot create database `{name}`"))?;
        Ok(Connection {
            dbname: name.to_owned(),
            ..self.connection.clone()
        })
    }

    /// Stops the server, removes its folder and waits for both.
    pub fn stop(self) {
        drop(self);
    }

    fn launch(binaries: &Binaries, options: &PrivateServerOptions) -> Result<Self> {
        for _ in 1..PORT_ATTEMPTS {
            let server = Self::spawn(binaries, options, free_port()?)?;
            if let Readiness::Ready = server.wait_until_ready()? {
                return Ok(server);
            }
        }
        bail!("cannot start PostgreSQL: every port that was free was taken before it listened")
    }

    fn spawn(binaries: &Binaries, options: &PrivateServerOptions, port: u16) -> Result<Self> {
        let folder = PrivateFolder::create("antiphon-postgres")?;
        let path = folder.path();
        let password = random_password()?;
        folder.write("password", &password)?;
        let ca_file = if options.certificate_names.is_empty() {
            None
        } else {
            certificate::create(path, &options.certificate_names)?;
            folder.hand_over("server.key")?;
            Some(path.join("ca.crt"))
        };

        let mut command = Command::new("/bin/sh");
        command.args(["-c", GUARDIAN, "antiphon-postgres"]);
        command
            .arg(&binaries.folder)
            .arg(path)
            .arg(options.authentication.method());
        command.args(server_arguments(path, port, options));
        command
            .env("LC_ALL", "C")
            .current_dir(path)
            .process_group(0);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(owner) = folder.owner() {
            command.uid(owner.user).gid(owner.group);
        }
        let guardian = command.spawn().context("cannot start `/bin/sh`")?;
        Ok(Self {
            guardian,
            connection: Connection {
                host: Ipv4Addr::LOCALHOST.to_string(),
                port,
                dbname: "antiphon".to_owned(),
                user: "antiphon".to_owned(),
                password,
                schema: "public".to_owned(),
            },
            folder,
            version: binaries.version,
            ca_file,
        })
    }

    /// The last line of the server's own pid file says whether it takes connections.
    fn wait_until_ready(&self) -> Result<Readiness> {
        let deadline = Instant::now() + START_PATIENCE;
        while Instant::now() < deadline {
            let status = fs::read_to_string(self.folder.path().join("data/postmaster.pid"));
            if status.is_ok_and(|status| status.lines().nth(7).map(str::trim) == Some("ready")) {
                return Ok(Readiness::Ready);
            }
            let log = read_log(self.folder.path());
            if log.contains("could not create any TCP/IP sockets") {
                return Ok(Readiness::PortTaken);
            }
            if log.contains("FATAL:") || log.contains("PANIC:") {
                bail!("PostgreSQL does not start; its log says:\n{log}");
            }
            thread::sleep(POLL_PAUSE);
        }
        bail!(
            "PostgreSQL did not start within {} s",
            START_PATIENCE.as_secs()
        )
    }

    async fn prepare(&self) -> Result<()> {
        let maintenance = Connection {
            dbname: "postgres".to_owned(),
            ..self.connection.clone()
        };
        let session = maintenance.connect().await?;
        session
            .batch_execute("CREATE DATABASE antiphon")
            .await
            .context("cannot create database")?;
        session.close().await
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        // Closing the pipe is the order to stop; the wait makes "dropped" mean "gone".
        drop(self.guardian.stdin.take());
        drop(self.guardian.wait());
    }
}

impl Authentication {
    fn method(self) -> &'static str {
        match self {
            Self::Scram => "scram-sha-256",
            Self::Md5 => "md5",
            Self::ClearText => "password",
        }
    }
}

enum Readiness {
    Ready,
    PortTaken,
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .context("cannot find a free port on 127.0.0.1")?;
    Ok(listener
        .local_addr()
        .context("cannot read the free port")?
        .port())
}

fn random_password() -> Result<String> {
    let mut bytes = [0_u8; 16];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("cannot read `/dev/urandom`")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn server_arguments(folder: &Path, port: u16, options: &PrivateServerOptions) -> Vec<String> {
    let sockets = folder.to_string_lossy();
    let sockets = if sockets.len() <= SOCKET_FOLDER_BYTES {
        &*sockets
    } else {
        ""
    };
    let mut settings = vec![
        ("port", port.to_string()),
        ("listen_addresses", "127.0.0.1".to_owned()),
        ("unix_socket_directories", sockets.to_owned()),
        // The data is thrown away at the end: a crash may lose it.
        ("fsync", "off".to_owned()),
        ("synchronous_commit", "off".to_owned()),
        ("full_page_writes", "off".to_owned()),
        ("max_wal_size", "4GB".to_owned()),
    ];
    if !options.certificate_names.is_empty() {
        let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
        settings.push(("ssl", "on".to_owned()));
        settings.push(("ssl_cert_file", file("server.crt")));
        settings.push(("ssl_key_file", file("server.key")));
    }
    let own = settings.iter().map(|(name, value)| (*name, value.as_str()));
    let further = options
        .settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    own.chain(further)
        .flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")])
        .collect()
}

fn read_log(folder: &Path) -> String {
    match fs::read(folder.join("log")) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}
