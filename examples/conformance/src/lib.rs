//! Tests for any server of the sync protocol, in any language, with any framework and database.
//!
//! [`Scenario`]s are data, in the folder `scenarios`. [`run()`] plays one against any URL. [`Server`]
//! is the server under test here: every framework on every database.

pub mod http;
mod run;
mod scenario;
mod servers;

pub use self::{
    run::{Failure, run},
    scenario::{Scenario, Step},
    servers::{Database, Framework, Gate, Server, application},
};

/// The codes of failures that a client can cause.
pub const CODES: [&str; 17] = [
    "busy",
    "clock_ahead",
    "forbidden",
    "internal",
    "invalid_diff",
    "invalid_json",
    "invalid_request",
    "method_not_allowed",
    "no_member",
    "other_history",
    "other_owner",
    "payload_too_large",
    "unauthenticated",
    "unknown_field",
    "unknown_model",
    "unsupported_media_type",
    "upgrade_required",
];

/// Makes a module of tests for every framework on every database, from functions that take a server.
#[macro_export]
macro_rules! every_server {
    ($($test:ident),+ $(,)?) => {
        $crate::every_server!(@database memory: Memory; $($test),+);
        $crate::every_server!(@database seven_methods: SevenMethods; $($test),+);
        $crate::every_server!(@database sqlite: Sqlite; $($test),+);
        $crate::every_server!(@database postgres: Postgres; $($test),+);
    };
    (@database $name:ident: $database:ident; $($test:ident),+) => {
        mod $name {
            $crate::every_server!(@framework axum: Axum, $database; $($test),+);
            $crate::every_server!(@framework actix: Actix, $database; $($test),+);
            $crate::every_server!(@framework rocket: Rocket, $database; $($test),+);
        }
    };
    (@framework $name:ident: $framework:ident, $database:ident; $($test:ident),+) => {
        mod $name {
            use $crate::{Database, Framework, Server};

            $(
                #[test]
                fn $test() {
                    let server = Server::start(Framework::$framework, Database::$database);
                    super::super::$test(&server.unwrap());
                }
            )+
        }
    };
}
