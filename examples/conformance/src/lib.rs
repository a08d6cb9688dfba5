//! What every server of the sync protocol must do, whatever its framework, database or language.
//!
//! [`Scenario`]s are data, in the folder `scenarios`; [`run()`] plays one against any URL. [`Server`] is
//! what they are played against here: every framework on every database.

pub mod http;
mod run;
mod scenario;
mod servers;

pub use self::{
    run::{Failure, run},
    scenario::{Scenario, Step},
    servers::{Database, Framework, Gate, Server},
};

/// Makes a module of tests for every framework on every database, from functions that take a server.
#[macro_export]
macro_rules! every_server {
    ($($test:ident),+ $(,)?) => {
        $crate::every_server!(@server axum_memory: Axum, Memory; $($test),+);
        $crate::every_server!(@server actix_memory: Actix, Memory; $($test),+);
        $crate::every_server!(@server rocket_memory: Rocket, Memory; $($test),+);
        $crate::every_server!(@server axum_seven_methods: Axum, SevenMethods; $($test),+);
        $crate::every_server!(@server actix_seven_methods: Actix, SevenMethods; $($test),+);
        $crate::every_server!(@server rocket_seven_methods: Rocket, SevenMethods; $($test),+);
    };
    (@server $name:ident: $framework:ident, $database:ident; $($test:ident),+) => {
        mod $name {
            $(
                #[test]
                fn $test() {
                    super::$test(&$crate::Server::start(
                        $crate::Framework::$framework,
                        $crate::Database::$database,
                        0,
                    ).unwrap());
                }
            )+
        }
    };
}
