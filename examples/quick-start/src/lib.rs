//! What lets the tests run the programs of the README on a port of their own.

/// The port in the variable `PORT`, else 8000, which is what the README says in this place.
pub fn port() -> u16 {
    std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8000)
}
