//! Offline-first sync of notes, for people who have signed in with a cookie.

mod notes;
mod session;

use rocket::{launch, routes};

#[launch]
fn rocket() -> _ {
    let mobync = notes::open();
    let sync =
        mobync_rocket::fairing(mobync.clone(), |credentials| Box::pin(session::owner(credentials)));
    rocket::build()
        .manage(mobync)
        .mount("/", routes![session::sign_in, session::sign_out, notes::list])
        .attach(sync)
}
