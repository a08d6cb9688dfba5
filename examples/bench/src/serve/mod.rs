//! The servers, each in a process of its own: this program, called as `bench serve`.

mod actix;
mod axum;
mod bare;
pub(crate) mod ours;
mod rocket;

use std::{
    io::{Read, Write},
    net::SocketAddr,
    thread,
};

use mobync::{Mobync, Owner, http::AuthError};
use serde::Serialize;
use tokio::runtime::Runtime;

use self::bare::Bare;
use crate::{Database, Result};

/// The number of threads of a server, for any framework.
const WORKERS: usize = 2;

/// A web framework.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "their names say it")]
pub enum Framework {
    Axum,
    Actix,
    Rocket,
}

/// What a server does: it syncs, or does the least possible work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// The library.
    Ours,
    /// The library, with marks of what others than syncs change.
    Captured,
    /// Reads the request, and answers with the same number of bytes, but stores nothing.
    Bare,
    /// Also looks up the owner's clock by its primary key.
    Clock,
    /// Also answers with all rows of the owner as creates.
    Rows,
}

impl Framework {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Axum, Self::Actix, Self::Rocket];

    /// Its name in commands and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Axum => "axum",
            Self::Actix => "actix",
            Self::Rocket => "rocket",
        }
    }
}

impl What {
    /// Its name in commands.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Captured => "captured",
            Self::Bare => "bare",
            Self::Clock => "clock",
            Self::Rows => "rows",
        }
    }
}

/// Serves until this process's input ends; the port is written to its output.
///
/// # Errors
/// If it cannot listen, or not open the database.
pub fn serve(framework: Framework, database: Database, what: What, at: &str) -> Result<()> {
    thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let captures = what == What::Captured;
    if what != What::Ours && !captures {
        return framework.serve_bare(Bare::open(what, database, at));
    }
    match database {
        Database::Memory => framework.serve_ours(async { Ok(ours::memory()) }),
        Database::Sqlite => framework.serve_ours(ours::sqlite(at, captures)),
        Database::Postgres => framework.serve_ours(ours::postgres(at, captures)),
    }
}

impl Framework {
    /// Serves on the database, which is opened in the framework's runtime.
    fn serve_ours<D: mobync::Database>(
        self,
        database: impl Future<Output = Result<D>>,
    ) -> Result<()> {
        let mobync = async { Ok(Mobync::new(database.await?)) };
        match self {
            Self::Axum => axum::serve(async { Ok(axum::ours(mobync.await?)) }),
            Self::Actix => actix::ours(mobync),
            Self::Rocket => rocket::serve(async { Ok(rocket::ours(mobync.await?)) }),
        }
    }

    fn serve_bare(self, bare: impl Future<Output = Result<Bare>>) -> Result<()> {
        match self {
            Self::Axum => axum::serve(async { Ok(axum::bare(bare.await?)) }),
            Self::Actix => actix::bare(bare),
            Self::Rocket => rocket::serve(async { Ok(rocket::bare(bare.await?)) }),
        }
    }
}

/// The token is the owner, and everybody is a member of each space, whose name is its owner's.
fn owner(space: Option<&str>, token: Result<&str, AuthError>) -> Result<Owner, AuthError> {
    let person = token?;
    Ok(Owner::new(space.unwrap_or(person))?)
}

/// The owner that an `Authorization` header names to a bare server.
fn bearer(header: Option<&str>) -> Option<&str> {
    header?.strip_prefix("Bearer ").filter(|token| !token.is_empty())
}

fn runtime() -> Result<Runtime> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    Ok(runtime)
}

fn tell(address: SocketAddr) -> std::io::Result<()> {
    let mut output = std::io::stdout();
    writeln!(output, "{}", address.port())?;
    output.flush()
}
