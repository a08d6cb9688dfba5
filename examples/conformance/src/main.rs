//! Plays the scenarios against any server, or starts one to try by hand.

use std::{io, path::PathBuf, process::ExitCode};

use clap::Parser;
use conformance::{Database, Framework, Scenario, Server, run};
use http::{Uri, uri::Scheme};

/// Checks whether a server implements the sync protocol.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The address of the server's sync route, such as <http://127.0.0.1:8000/sync>.
    #[arg(long, required_unless_present = "serve")]
    url: Option<Uri>,
    /// Only scenarios that have one of these words in their names.
    words: Vec<String>,
    /// A folder of scenarios, instead of those of this program.
    #[arg(long)]
    scenarios: Option<PathBuf>,
    /// Starts a server with this framework, and plays no scenarios.
    #[arg(long, conflicts_with = "url")]
    serve: Option<Framework>,
    /// The database of that server; its data is lost when the server stops, unless --at is given.
    #[arg(long, default_value = "memory", requires = "serve")]
    database: Database,
    /// The address of the database, such as <sqlite://tasks.sqlite> or <postgres://localhost/app>.
    #[arg(long, requires = "serve")]
    at: Option<String>,
    /// The port of that server; 0 picks a free one.
    #[arg(long, default_value_t = 8000, requires = "serve")]
    port: u16,
}

fn main() -> ExitCode {
    match main_of(Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn main_of(args: Args) -> io::Result<bool> {
    if let Some(framework) = args.serve {
        let server = Server::start_at(framework, args.database, args.at, args.port)?;
        println!("Listening on http://{}/sync (Ctrl-C stops it).", server.address);
        server.join()?;
        return Ok(true);
    }
    let scenarios = match &args.scenarios {
        Some(folder) => Scenario::read_all(folder)?,
        None => Scenario::all()?,
    };
    let wanted = |scenario: &&Scenario| {
        args.words.is_empty() || args.words.iter().any(|word| scenario.name.contains(word))
    };
    play(&args.url.unwrap_or_default(), scenarios.iter().filter(wanted))
}

/// Plays the scenarios, and prints the result of each. Returns whether all have passed.
fn play<'s>(url: &Uri, scenarios: impl Iterator<Item = &'s Scenario>) -> io::Result<bool> {
    let host = match (url.scheme(), url.host()) {
        (Some(scheme), Some(host)) if *scheme == Scheme::HTTP => host,
        _ => return Err(io::Error::other("The URL must be like http://127.0.0.1:8000/sync.")),
    };
    let address = format!("{host}:{}", url.port_u16().unwrap_or(80));
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let (mut passed, mut failed) = (0, 0);
    for scenario in scenarios {
        match run(&address, path, scenario) {
            Ok(_) => {
                passed += 1;
                println!("ok     {}", scenario.name);
            }
            Err(failure) => {
                failed += 1;
                println!("FAILED {}\n  {failure}", scenario.name);
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    Ok(failed == 0 && passed > 0)
}
