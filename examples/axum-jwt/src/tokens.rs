//! JSON Web Tokens: signing in returns one, and a sync needs one.

use std::{
    env::{self, VarError},
    io,
    sync::Arc,
};

use axum::{Json, extract::State};
use jsonwebtoken::{
    DecodingKey, EncodingKey, Header, Validation, decode, encode, errors::ErrorKind,
    get_current_timestamp,
};
use mobync::{
    Owner,
    http::{AuthError, Credentials},
};
use mobync_axum::SyncError;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How long a token is valid, in seconds.
const LIFETIME: u64 = 24 * 60 * 60;

/// Names and passwords; a real application has a table of users, with hashes.
const USERS: [(&str, &str); 2] = [("ada", "analytical"), ("bob", "builder")];

/// The least length of a secret, in bytes: anyone who guesses a shorter one can create tokens.
const SHORTEST_SECRET: usize = 16;

/// Makes tokens, and checks them.
#[derive(Clone)]
pub(crate) struct Tokens {
    keys: Arc<(EncodingKey, DecodingKey)>,
}

/// The claims of a token.
#[derive(Serialize, Deserialize)]
struct Claims {
    /// Who it is for.
    sub: String,
    /// When it expires, in seconds since 1970.
    exp: u64,
}

impl Tokens {
    /// Signs with the environment variable `JWT_SECRET`. Without it, tokens are valid until the program
    /// ends.
    ///
    /// # Errors
    /// If the secret is too short (without blanks around it), or not UTF-8.
    pub(crate) fn new() -> io::Result<Self> {
        let secret = match env::var("JWT_SECRET") {
            Ok(secret) if secret.trim().len() >= SHORTEST_SECRET => secret.into_bytes(),
            Ok(_) | Err(VarError::NotUnicode(_)) => {
                return Err(io::Error::other(format!(
                    "JWT_SECRET must be a text of at least {SHORTEST_SECRET} bytes: set it to a long \
                     random one (`openssl rand -hex 32` makes one), or leave it unset.",
                )));
            }
            Err(VarError::NotPresent) => {
                let mut random = vec![0; 32];
                getrandom::fill(&mut random)?;
                random
            }
        };
        let keys = (EncodingKey::from_secret(&secret), DecodingKey::from_secret(&secret));
        Ok(Self { keys: Arc::new(keys) })
    }

    fn issue(&self, name: &str) -> jsonwebtoken::errors::Result<String> {
        let claims = Claims { sub: name.to_owned(), exp: get_current_timestamp() + LIFETIME };
        encode(&Header::default(), &claims, &self.keys.0)
    }

    /// Whose token it is.
    pub(crate) fn owner(&self, credentials: &Credentials) -> Result<Owner, AuthError> {
        let token = credentials.token()?;
        match decode::<Claims>(token, &self.keys.1, &Validation::default()) {
            Ok(token) => Ok(Owner::new(token.claims.sub)?),
            Err(error) if *error.kind() == ErrorKind::ExpiredSignature => {
                Err(AuthError::unauthenticated("Your token has expired: sign in again."))
            }
            Err(_) => Err(AuthError::unauthenticated("That is no token of this server.")),
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct SignIn {
    name: String,
    password: String,
}

/// `POST /session`: a token for a name and a password.
pub(crate) async fn sign_in(
    State(tokens): State<Tokens>,
    Json(user): Json<SignIn>,
) -> Result<Json<Value>, SyncError> {
    if !USERS.contains(&(&*user.name, &*user.password)) {
        return Err(AuthError::unauthenticated("Name or password is wrong.").into());
    }
    let token = tokens.issue(&user.name).map_err(AuthError::failed)?;
    Ok(Json(json!({"token": token})))
}
