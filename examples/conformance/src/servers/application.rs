//! What all servers under test have in common: the users, the rule, and a database with moods.

use std::time::Duration;

use mobync::{
    Access, Database, DatabaseError, Diff, Grant, Mobync, Owner, Refusal, Rules, View,
    http::AuthError,
    memory::MemoryDatabase,
    schema::{Schema, Step},
};

use super::Gate;

/// The fields of `tasks`, the only model, `id` apart.
pub(super) const FIELDS: [&str; 2] = ["name", "done"];

/// What spaces' owners are called, so that nobody's own data is called like that.
const SPACE: &str = "space ";

/// The token is the person, apart from a few that show what else an auth closure may say. A space is the list of
/// its members.
///
/// # Errors
/// For those few, for what cannot be an owner, and for spaces of others.
///
/// # Panics
/// For the token and the space `panicking`, as an auth closure should not.
#[expect(clippy::panic, reason = "what it is for")]
pub fn grant(token: &str, space: Option<&str>) -> Result<Grant, AuthError> {
    match (token, space) {
        ("stranger", _) => Err(AuthError::unauthenticated("The token is not known.")),
        ("banned", _) => Err(AuthError::forbidden("Your account is closed.")),
        ("lost", _) | (_, Some("lost")) => Err(AuthError::failed("the table of users is gone")),
        ("panicking", _) | (_, Some("panicking")) => panic!("the auth closure panics"),
        ("guest", None) => Err(AuthError::no_member("Guests have no data of their own.")),
        (person, None | Some("mirror")) if !person.starts_with(SPACE) => {
            Ok(Owner::new(person)?.into())
        }
        (_, None) => Err(AuthError::unauthenticated("A space is no person.")),
        (_, Some(space)) if is_moody(space) => Ok(Owner::new(space)?.into()),
        (person, Some(space)) => of_space(person, space),
    }
}

/// A space is named like `ada,bob,?eve`: Eve may only read. Its owner is the same in whichever order they are
/// named, and whatever they may do.
fn of_space(person: &str, space: &str) -> Result<Grant, AuthError> {
    let mut members: Vec<&str> = space.split(',').collect();
    let reads = members.iter().any(|member| member.strip_prefix('?') == Some(person));
    if !reads && !members.contains(&person) {
        return Err(AuthError::no_member("You are not a member of this list."));
    }
    for member in &mut members {
        *member = member.trim_start_matches('?');
    }
    members.sort_unstable();
    let owner = Owner::new(format!("{SPACE}{}", members.join(",")))?;
    let grant = Grant::new(owner).member(person);
    Ok(if reads { grant.read_only() } else { grant })
}

/// Whether the database has a mood for the owner of that name.
fn is_moody(owner: &str) -> bool {
    matches!(owner, "busy" | "failing") || owner.starts_with("gated-")
}

/// The ready-made database in memory.
pub(super) fn memory() -> MemoryDatabase {
    MemoryDatabase::new().model("tasks", FIELDS)
}

/// Sync on that database, behind its moods, and with the rule.
pub fn mobync<D: Database + Clone>(database: D, gate: &Gate) -> Mobync<Moody<D>, NoForbiddenNames> {
    Mobync::new(Moody { database, gate: gate.clone() })
        .rules(NoForbiddenNames)
        .schema(schema())
        .min_schema(2)
        .schema_of_silent_clients(4)
}

/// What `tasks` were before: they had a heading and a priority.
#[expect(clippy::unwrap_used, reason = "it never changes")]
fn schema() -> Schema {
    let steps = [
        Step::renamed(3, "tasks", "heading", "name"),
        Step::removed(4, "tasks", "priority", 0),
        Step::removed_model(4, "labels"),
    ];
    Schema::new(steps).unwrap()
}

/// Refuses what is named "forbidden", and panics at what is named "panicking".
#[derive(Clone, Copy, Debug)]
pub struct NoForbiddenNames;

impl NoForbiddenNames {
    #[expect(clippy::panic, reason = "what it is for")]
    fn judge(diff: &Diff) -> Result<(), Refusal> {
        match diff.record()?.get("name") {
            Some(name) if name == "panicking" => panic!("the rule panics"),
            Some(name) if name == "forbidden" => Err(Refusal::because("That name is forbidden.")),
            _ => Ok(()),
        }
    }
}

impl Rules for NoForbiddenNames {
    async fn create(&self, _: &Owner, diff: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
        Self::judge(diff)
    }

    async fn update(&self, _: &Owner, diff: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
        Self::judge(diff)
    }
}

/// A database that is busy, fails, waits for a gate, or compacts another owner's log, for owners of such names.
#[derive(Debug)]
pub struct Moody<D> {
    database: D,
    gate: Gate,
}

impl<D: Database + Clone> Database for Moody<D> {
    type Unit = D::Unit;

    async fn open(&self, owner: &Owner, access: Access) -> Result<D::Unit, DatabaseError> {
        match owner.as_str() {
            "busy" => return Err(DatabaseError::busy("all connections are in use")),
            "failing" => return Err(DatabaseError::failed("the disk is on fire")),
            name if name.starts_with("gated-") => self.gate.pass().await,
            name => {
                if let Some(whose) = name.strip_prefix("compacting-") {
                    compact(&self.database, whose).await?;
                }
            }
        }
        self.database.open(owner, access).await
    }

    fn serialises(&self) -> bool {
        self.database.serialises()
    }
}

/// Compacts the log of that owner, for which nothing is too young.
async fn compact<D: Database + Clone>(database: &D, whose: &str) -> Result<(), DatabaseError> {
    let whose = Owner::new(whose).map_err(DatabaseError::failed)?;
    // A milestone is old after a millisecond.
    tokio::time::sleep(Duration::from_millis(2)).await;
    let compacting = Mobync::new(database.clone());
    compacting.compact(&whose, Duration::ZERO).await.map_err(DatabaseError::failed)?;
    Ok(())
}
