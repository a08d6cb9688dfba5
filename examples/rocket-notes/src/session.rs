//! Signing in and out, by a private cookie; and who is asking, by that cookie.

use rocket::{
    FromForm, Request, async_trait, delete,
    form::Form,
    http::{CookieJar, Status},
    outcome::Outcome,
    post,
    request::{self, FromRequest},
};

const COOKIE: &str = "user";

/// Names and passwords; a real application has a table of users, with hashes.
const USERS: [(&str, &str); 2] = [("ada", "analytical"), ("bob", "builder")];

#[derive(FromForm)]
pub(crate) struct SignIn<'r> {
    name: &'r str,
    password: &'r str,
}

#[post("/session", data = "<form>")]
pub(crate) fn sign_in(cookies: &CookieJar<'_>, form: Form<SignIn<'_>>) -> Status {
    let SignIn { name, password } = form.into_inner();
    if !USERS.contains(&(name, password)) {
        return Status::Unauthorized;
    }
    cookies.add_private((COOKIE, name.to_owned()));
    Status::NoContent
}

#[delete("/session")]
pub(crate) fn sign_out(cookies: &CookieJar<'_>) -> Status {
    cookies.remove_private(COOKIE);
    Status::NoContent
}

/// Who is asking: a guard like any other, which the sync asks too.
pub(crate) struct User(pub(crate) String);

#[async_trait]
impl<'r> FromRequest<'r> for User {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, ()> {
        match request.cookies().get_private(COOKIE) {
            Some(cookie) => Outcome::Success(Self(cookie.value().to_owned())),
            None => Outcome::Error((Status::Unauthorized, ())),
        }
    }
}
