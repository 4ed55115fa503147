//! Getting rows out: tap-redshift beside psql, on a PostgreSQL that is started for this alone.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sandbox::source::{
    Binaries, Connection, PrivateServer, PrivateServerOptions, install_redshift_dialect,
};
use serde_json::json;

use crate::Bench;
use crate::measure::{self, Ends, Usage};
use crate::pendo::write_lines;
use crate::report::{Goal, Row};

/// A table that is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    about: &'static str,
    shape: &'static str,
    key: &'static str,
    /// Rows for each row of the main table, as a fraction.
    share: (u64, u64),
    /// Goals of the tap's wall time over that of psql: by COPY, and by what Redshift allows.
    goals: (f64, Option<f64>),
}

/// The table that the target and the whole pipe are measured with too.
pub(crate) const ACCOUNT: Table = Table {
    name: "pendo_account",
    about: "20 columns",
    shape: "account",
    key: "account_id",
    share: (1, 1),
    goals: (0.6, Some(0.8)),
};
const WIDE: Table = Table {
    name: "pendo_wide",
    about: "200 columns",
    shape: "wide",
    key: "id",
    share: (1, 10),
    goals: (0.65, None),
};
const NARROW: Table = Table {
    name: "pendo_narrow",
    about: "5 columns",
    shape: "narrow",
    key: "id",
    share: (2, 1),
    goals: (0.9, None),
};

impl Table {
    fn rows(&self, bench: &Bench) -> u64 {
        bench.rows * self.share.0 / self.share.1
    }
}

/// The server and how to reach it.
pub(crate) struct Database {
    server: PrivateServer,
    /// A role that takes the server for a Redshift: the tap asks it no COPY, and gets text rows.
    redshift: Connection,
    psql: PathBuf,
}

impl Database {
    pub(crate) async fn start(bench: &Bench) -> Result<Self> {
        let binaries = Binaries::find().context(
            "the benchmark needs a PostgreSQL on this machine (Debian and Ubuntu: apt install postgresql)",
        )?;
        let psql = psql_of(&binaries)?;
        let settings = [
            ("shared_buffers", "2GB"),
            ("max_parallel_workers_per_gather", "0"),
        ];
        let server = PrivateServer::start(PrivateServerOptions {
            settings: settings
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            ..PrivateServerOptions::default()
        })
        .await?;
        let redshift = install_redshift_dialect(server.connection()).await?;
        let database = Self {
            server,
            redshift,
            psql,
        };
        for table in [ACCOUNT, WIDE, NARROW] {
            database.create(bench, table.name, table.shape, table.rows(bench))?;
        }
        Ok(database)
    }

    /// What it is, for the head of the table.
    pub(crate) fn describe(&self) -> String {
        let (major, minor) = self.server.version();
        format!("PostgreSQL {major}.{minor}")
    }

    pub(crate) fn connection(&self) -> &Connection {
        self.server.connection()
    }

    /// Makes a table.
    pub(crate) fn create(&self, bench: &Bench, name: &str, shape: &str, rows: u64) -> Result<()> {
        let mut command = bench.command("antiphon-sandbox");
        command.args(["bench-table", "--url", &self.server.connection().url()]);
        command.args([
            "--table",
            name,
            "--shape",
            shape,
            "--rows",
            &rows.to_string(),
        ]);
        measure::run(command).map(drop)
    }

    /// psql writing the table as csv, in whatever order the server finds the rows.
    fn copy(&self, table: &str) -> Command {
        self.copy_query(&format!("SELECT * FROM {table}"))
    }

    /// psql writing the rows of a query as csv.
    fn copy_query(&self, query: &str) -> Command {
        let connection = self.server.connection();
        let mut command = Command::new(&self.psql);
        command.args(["--no-psqlrc", "--quiet", "--host", &connection.host]);
        command.args([
            "--port",
            &connection.port.to_string(),
            "--username",
            &connection.user,
        ]);
        command
            .env("PGPASSWORD", &connection.password)
            .arg(&connection.dbname);
        command.args([
            "--command",
            &format!("COPY ({query}) TO STDOUT (FORMAT csv)"),
        ]);
        command
    }

    /// The tap reading the whole table.
    pub(crate) fn tap(&self, bench: &Bench, table: &str) -> Result<Command> {
        let mut command = self.tap_without_selection(bench)?;
        command.args(["--select", &format!("*.{table}")]);
        Ok(command)
    }

    /// The tap with its config alone.
    pub(crate) fn tap_without_selection(&self, bench: &Bench) -> Result<Command> {
        tap_to(bench, self.server.connection())
    }

    /// The tap reading the whole table as it reads from a Redshift.
    fn redshift_tap(&self, bench: &Bench, table: &str) -> Result<Command> {
        let mut command = tap_to(bench, &self.redshift)?;
        command.args(["--select", &format!("*.{table}")]);
        Ok(command)
    }
}

/// The psql of the server itself, behind links: a wrapper on PATH would add its own start.
fn psql_of(binaries: &Binaries) -> Result<PathBuf> {
    let server = binaries.folder.join("postgres");
    let server = server
        .canonicalize()
        .context("cannot follow the link to `postgres`")?;
    let psql = server.with_file_name("psql");
    ensure!(
        psql.is_file(),
        "there is no psql beside `{}`",
        server.display()
    );
    Ok(psql)
}

fn tap_to(bench: &Bench, connection: &Connection) -> Result<Command> {
    let Connection {
        host,
        port,
        dbname,
        user,
        password,
        schema,
    } = connection;
    let config = json!({
        "host": host,
        "port": port,
        "dbname": dbname,
        "user": user,
        "password": password,
        "schema": schema,
        "sslmode": "disable",
    });
    let config = bench.write(&format!("tap-{user}.json"), &config.to_string())?;
    let mut command = bench.command("tap-redshift");
    command.arg("--quiet").arg("--config").arg(config);
    Ok(command)
}

/// Measures the tap on the three tables.
pub(crate) fn measure(bench: &mut Bench, database: &Database) -> Result<()> {
    if !bench.wants("tap") {
        return Ok(());
    }
    bench.section("tap-redshift to /dev/null; ratio: wall over that of psql in the same round")?;
    for table in [ACCOUNT, WIDE, NARROW] {
        measure_table(bench, database, &table)?;
    }
    Ok(())
}

fn measure_table(bench: &mut Bench, database: &Database, table: &Table) -> Result<()> {
    let (rows, csv) = (table.rows(bench), bench.file("psql.singer"));
    // Once into files, for their sizes, and so that every round finds a warm cache.
    let to_file = Ends {
        input: None,
        output: Some(csv.clone()),
    };
    measure::run_pipe(vec![database.copy(table.name)], &to_file)?;
    let csv_bytes = csv
        .metadata()
        .context("cannot see the size of a file")?
        .len();
    let lines = bench.file(&format!("{}.singer", table.name));
    let bytes = write_lines(database.tap(bench, table.name)?, &lines, rows)?;
    write_lines(database.redshift_tap(bench, table.name)?, &lines, rows)?;

    let row = |what: &str, bytes: u64| {
        let name = format!("{}, {}: {what}", table.name, table.about);
        Row {
            records: rows,
            bytes,
            ..Row::new(name)
        }
    };
    let mut psql = row("psql COPY csv", csv_bytes);
    let mut ordered = row("psql COPY csv, by key", csv_bytes);
    let by_key = format!("SELECT * FROM {0} ORDER BY {1}", table.name, table.key);
    let mut tap = row("tap-redshift", bytes);
    let mut redshift = row("tap-redshift, as on Redshift", bytes);
    for _ in 0..bench.rounds {
        let reference = measure::run(database.copy(table.name))?;
        psql.usages.push(reference);
        add(
            &mut ordered,
            measure::run(database.copy_query(&by_key))?,
            reference,
        );
        add(
            &mut tap,
            measure::run(database.tap(bench, table.name)?)?,
            reference,
        );
        let command = database.redshift_tap(bench, table.name)?;
        add(&mut redshift, measure::run(command)?, reference);
    }
    tap.goals
        .push(Goal::at_most("ratio", tap.ratio(), table.goals.0, ""));
    if let Some(goal) = table.goals.1 {
        redshift
            .goals
            .push(Goal::at_most("ratio", redshift.ratio(), goal, ""));
    }
    bench.row(&psql)?;
    bench.row(&ordered)?;
    bench.row(&tap.with_memory_goal(32.0))?;
    bench.row(&redshift.with_memory_goal(32.0))
}

fn add(row: &mut Row, usage: Usage, reference: Usage) {
    row.usages.push(usage);
    row.ratios
        .push(usage.wall.as_secs_f64() / reference.wall.as_secs_f64());
}
