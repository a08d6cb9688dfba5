//! Offline-first sync of notes, for people who have signed in with a cookie.

mod notes;
mod session;

use std::error::Error;

use rocket::routes;

#[rocket::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::var("NOTES").unwrap_or_else(|_| "notes.sqlite".to_owned());
    let mobync = notes::open(&file).await?;
    let sync =
        mobync_rocket::fairing(mobync.clone(), |credentials| Box::pin(session::owner(credentials)));
    let rocket = rocket::build()
        .manage(mobync)
        .mount("/", routes![session::sign_in, session::sign_out, notes::list])
        .attach(sync);
    rocket.launch().await?;
    Ok(())
}
