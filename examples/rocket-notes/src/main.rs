//! Offline-first sync of notes, for people who have signed in with a cookie.

mod notes;
mod session;

use std::error::Error;

use mobync::Owner;
use mobync_rocket::{SharedAuth, fairing, from_guard};
use rocket::routes;

use crate::session::User;

#[rocket::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::var("NOTES").unwrap_or_else(|_| "notes.sqlite".to_owned());
    let mobync = notes::open(&file).await?;
    let auth = from_guard(|user: User| Owner::new(user.0));
    let rocket = rocket::build()
        .attach(fairing(mobync.clone(), auth.clone()))
        .manage(SharedAuth::new(auth))
        .manage(mobync)
        .mount("/", routes![session::sign_in, session::sign_out, notes::list]);
    rocket.launch().await?;
    Ok(())
}
