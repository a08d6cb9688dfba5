//! Who is a member of which project: routes for what only a server can decide.

use actix_web::{
    HttpResponse,
    web::{self, Data, Json, Path, ServiceConfig},
};
use mobync::{Change, Error, Record, http::AuthError};
use mobync_actix::SyncError;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    auth::{Person, no_member},
    projects::{Membership, Project, Projects, Role},
};

type Done = Result<HttpResponse, SyncError>;

pub(crate) fn routes(config: &mut ServiceConfig) {
    config
        .route("/projects", web::post().to(found))
        .route("/projects/{project}/invitations/{person}", web::put().to(invite))
        .route("/projects/{project}/invitations/{person}", web::delete().to(withdraw))
        .route("/projects/{project}/members", web::post().to(accept))
        .route("/projects/{project}/members/{person}", web::patch().to(change_role))
        .route("/projects/{project}/members/{person}", web::delete().to(remove));
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct As {
    role: Role,
}

/// `POST /projects`: a new project, with whoever asks for it as its owner.
async fn found(
    person: Person,
    projects: Data<Projects>,
    Json(Named { name }): Json<Named>,
) -> Result<Json<Value>, SyncError> {
    let name = name.trim();
    if name.is_empty() || name.len() > 200 {
        return Err(Error::InvalidRequest("a project needs a name".into()).into());
    }
    let project = Project::new();
    let owner = Membership { name: name.to_owned(), role: Role::Owner };
    let [shared, own] = joining(&project, &person, &owner)?;
    projects.write(&project, vec![shared], &person, vec![own]).await?;
    Ok(Json(json!({"project": project.id()})))
}

/// `PUT /projects/{project}/invitations/{person}`: the owner invites somebody, who finds it in their own data.
async fn invite(
    host: Person,
    projects: Data<Projects>,
    path: Path<(String, String)>,
    Json(As { role }): Json<As>,
) -> Done {
    let (project, guest) = named(&path)?;
    let Membership { name, .. } = owned(&projects, &project, &host).await?;
    if role == Role::Owner {
        return Err(refusal("A project has one owner."));
    }
    if projects.membership(&project, &guest).await?.is_some() {
        return Err(refusal("They are a member already."));
    }
    if projects.invitation(&project, &guest).await?.is_some() {
        return Err(refusal("They are invited already."));
    }
    let shared = Record::new(guest.name()).with("role", text(role)?);
    let own = Record::new(project.id()).with("name", name).with("role", text(role)?);
    let own = Change::create("invitations", own.with("host", host.name()));
    projects.write(&project, vec![Change::create("invited", shared)], &guest, vec![own]).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `DELETE /projects/{project}/invitations/{person}`: the owner withdraws it, or the person declines.
async fn withdraw(person: Person, projects: Data<Projects>, path: Path<(String, String)>) -> Done {
    let (project, guest) = named(&path)?;
    if person != guest {
        owned(&projects, &project, &person).await?;
    }
    let [shared, own] = uninviting(&project, &guest);
    projects.write(&project, vec![shared], &guest, vec![own]).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /projects/{project}/members`: who is invited accepts.
async fn accept(person: Person, projects: Data<Projects>, path: Path<String>) -> Done {
    let project = Project::with_id(&path).ok_or_else(no_member)?;
    let invitation = projects.invitation(&project, &person).await?.ok_or_else(no_member)?;
    let [member, membership] = joining(&project, &person, &invitation)?;
    let [shared, own] = uninviting(&project, &person);
    projects.write(&project, vec![shared, member], &person, vec![own, membership]).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `PATCH /projects/{project}/members/{person}`: the owner gives a member another role.
async fn change_role(
    person: Person,
    projects: Data<Projects>,
    path: Path<(String, String)>,
    Json(As { role }): Json<As>,
) -> Done {
    let (project, member) = named(&path)?;
    owned(&projects, &project, &person).await?;
    if role == Role::Owner || member == person {
        return Err(refusal("A project has one owner."));
    }
    let shared = Record::new(member.name()).with("role", text(role)?);
    let own = Record::new(project.id()).with("role", text(role)?);
    let (shared, own) = (Change::update("members", shared), Change::update("memberships", own));
    projects.write(&project, vec![shared], &member, vec![own]).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `DELETE /projects/{project}/members/{person}`: a member leaves, or the owner removes them.
async fn remove(person: Person, projects: Data<Projects>, path: Path<(String, String)>) -> Done {
    let (project, member) = named(&path)?;
    let role = projects.membership(&project, &person).await?.ok_or_else(no_member)?.role;
    if person != member && role != Role::Owner {
        return Err(refusal("Only the owner can remove others."));
    }
    if person == member && role == Role::Owner {
        return Err(refusal("A project needs its owner, who cannot leave it."));
    }
    let shared = Change::delete("members", member.name());
    let own = Change::delete("memberships", project.id());
    projects.write(&project, vec![shared], &member, vec![own]).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The two sides of a membership that begins.
fn joining(
    project: &Project,
    person: &Person,
    Membership { name, role }: &Membership,
) -> Result<[Change; 2], Error> {
    let role = text(*role)?;
    let member = Record::new(person.name()).with("role", role.clone());
    let membership = Record::new(project.id()).with("name", name.as_str()).with("role", role);
    Ok([Change::create("members", member), Change::create("memberships", membership)])
}

/// The two sides of an invitation that ends.
fn uninviting(project: &Project, person: &Person) -> [Change; 2] {
    [Change::delete("invited", person.name()), Change::delete("invitations", project.id())]
}

/// The membership of whoever asks, if they are the project's owner.
async fn owned(
    projects: &Projects,
    project: &Project,
    person: &Person,
) -> Result<Membership, SyncError> {
    let membership = projects.membership(project, person).await?.ok_or_else(no_member)?;
    if membership.role == Role::Owner {
        Ok(membership)
    } else {
        Err(refusal("Only the owner of the project can do that."))
    }
}

fn named((project, person): &(String, String)) -> Result<(Project, Person), Error> {
    let project = Project::with_id(project).ok_or_else(no_member)?;
    let nobody = "a person's name has 1 to 40 small letters and digits";
    let person = Person::named(person).ok_or_else(|| Error::InvalidRequest(nobody.into()))?;
    Ok((project, person))
}

fn refusal(sentence: &'static str) -> SyncError {
    AuthError::forbidden(sentence).into()
}

fn text(role: Role) -> Result<Value, Error> {
    serde_json::to_value(role).map_err(|error| Error::Internal(error.into()))
}
