//! Measures what a sync costs, and the least that it could cost.

use std::{fs, io, path::PathBuf, process::ExitCode, time::Duration};

use bench::{
    Database, Framework, Result, Until, What, Workload, drive,
    rows::{self, Options, Row, Scale},
    serve,
};
use clap::{Parser, Subcommand, ValueEnum};
use http::Uri;

/// Measures what a sync costs, and the least that it could cost, and prints tables.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Only rows whose names begin with one of these words, such as push or idle-memory.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The frameworks; rows that do not depend on the framework use the first one.
    #[arg(long, value_delimiter = ',', default_value = "axum,actix,rocket")]
    frameworks: Vec<Framework>,
    /// The databases.
    #[arg(long, value_delimiter = ',', default_value = "memory,sqlite,postgres")]
    databases: Vec<Database>,
    /// How long each measurement takes.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How often each floor and the library are measured, alternately.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Another build of this program, for the row `builds`.
    #[arg(long)]
    other: Option<PathBuf>,
    /// Where to write all measurements.
    #[arg(long, default_value = "target/bench.json")]
    json: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Measures any server that uses tokens as owners and has the table of tasks (see the README).
    Drive {
        /// The address of the server's sync route, such as <http://127.0.0.1:8000/sync>.
        url: Uri,
        /// What devices do.
        #[arg(long, default_value = "push")]
        workload: Kind,
        /// How many devices sync at the same time.
        #[arg(long, default_value_t = 8)]
        connections: usize,
        /// How long to run.
        #[arg(long, default_value_t = 5.0)]
        seconds: f64,
        /// Creates of a push, spaces of a person, diffs of a pull, log entries, or tasks of a first sync.
        #[arg(long)]
        count: Option<u64>,
    },
    /// The server under test.
    #[command(hide = true)]
    Serve { framework: Framework, database: Database, what: What, at: String },
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Push,
    Idle,
    Spaces,
    Pull,
    Growth,
    FirstSync,
    Mixed,
    Contention,
    Repeats,
}

impl Kind {
    fn workload(self, count: Option<u64>) -> Workload {
        match self {
            Self::Push => Workload::Push { creates: count.unwrap_or(10) },
            Self::Idle => Workload::Idle,
            Self::Spaces => {
                let spaces = count.and_then(|count| usize::try_from(count).ok());
                Workload::Spaces { spaces: spaces.unwrap_or(30) }
            }
            Self::Pull => Workload::Pull { diffs: count.unwrap_or(100) },
            Self::Growth => Workload::Growth { entries: count.unwrap_or(10_000), owners: 1 },
            Self::FirstSync => Workload::FirstSync { objects: count.unwrap_or(10_000) },
            Self::Mixed => Workload::Mixed,
            Self::Contention => Workload::Contention,
            Self::Repeats => Workload::Repeats,
        }
    }
}

fn main() -> ExitCode {
    match main_of(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn main_of(args: Args) -> Result<()> {
    match args.command {
        None => measure(args),
        Some(Command::Serve { framework, database, what, at }) => {
            serve::serve(framework, database, what, &at)
        }
        Some(Command::Drive { url, workload, connections, seconds, count }) => {
            let until = Until::elapsed(Duration::try_from_secs_f64(seconds)?);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let workload = workload.workload(count);
            let measured = runtime.block_on(drive(&url, None, workload, connections, until))?;
            serde_json::to_writer_pretty(io::stdout(), &measured)?;
            println!();
            Ok(())
        }
    }
}

fn measure(args: Args) -> Result<()> {
    let wanted = |row: &Row| {
        args.only.is_empty() || args.only.iter().any(|start| row.name().starts_with(start))
    };
    let options = Options {
        program: std::env::current_exe()?,
        other: args.other,
        rows: Row::ALL.into_iter().filter(wanted).collect(),
        frameworks: args.frameworks,
        databases: args.databases,
        rounds: args.rounds,
        time: Duration::try_from_secs_f64(args.seconds)?,
        scale: Scale::default(),
    };
    if options.rows.is_empty() {
        let names = Row::ALL.map(Row::name).join(", ");
        return Err(format!("there is no such row; there are {names}").into());
    }
    let report = rows::measure(options, |report| {
        if let Some(folder) = args.json.parent() {
            fs::create_dir_all(folder)?;
        }
        Ok(fs::write(&args.json, serde_json::to_vec_pretty(report)?)?)
    })?;
    print!("{report}");
    println!("Everything that was measured is in {}.", args.json.display());
    Ok(())
}
