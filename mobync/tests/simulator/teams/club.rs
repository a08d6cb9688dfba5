//! Who may do what: the application that the server asks.

use std::collections::BTreeMap;

use fastrand::Rng;
use mobync::{Grant, Owner, http::AuthError};

/// The tokens and names of people. Two of them, as two of the spaces, differ only in the case of one letter.
pub const PEOPLE: [&str; 3] = ["ada", "Ada", "bob"];
/// The names of spaces: one is that of a person, and one is another name of the first one.
pub const SPACES: [&str; 5] = ["family", "Family", "ada", "the family", "nowhere"];
/// The one that has the owner of another.
pub const ALIAS: usize = 3;
/// The owners: those of the people, and then those of the spaces. Each is also a mark in all values of its data.
pub const OWNERS: [&str; 6] =
    ["own of ada", "own of Ada", "own of bob", "team family", "team Family", "team ada"];

pub const SENTENCE: &str = "You are not a member of this list.";

/// Whose data is meant on a phone: the person's own, or that of a space.
pub type Whose = Option<usize>;

/// The owner of a space, by number; the last one does not exist.
pub fn owner_of(space: usize) -> Option<usize> {
    [Some(3), Some(4), Some(5), Some(3), None][space]
}

/// What a person is in a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    None,
    Reader,
    Writer,
}

impl Role {
    pub fn draw(rng: &mut Rng) -> Self {
        [Self::None, Self::None, Self::Reader, Self::Writer, Self::Writer][rng.usize(..5)]
    }
}

/// What keeps the application from telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Busy,
    Fails,
    Forbids,
}

impl Trouble {
    pub fn draw(rng: &mut Rng) -> Self {
        [Self::Busy, Self::Fails, Self::Forbids][rng.usize(..3)]
    }
}

/// What the application has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The owner, by number, and whether to read only.
    Grants(usize, bool),
    NoMember,
    Trouble(Trouble),
}

/// A rule of the server or of its application that is broken, to check that it is found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    None,
    /// The application keeps what it has said of a person and a space.
    MembershipIsKept,
    /// What the application has said of the member before counts for the next one.
    OfTheMemberBefore,
    /// Each member is served as the person's own.
    SpaceIsIgnored,
    /// A reader may write.
    ReadersWrite,
    /// If one member fails, all do.
    OneFailsAll,
    /// The answers come in another order.
    AnswersAreSwapped,
    /// A former member gets the data once more.
    OnceMore,
}

/// The application, as the server's auth closure uses it.
#[derive(Debug)]
pub struct Club {
    roles: BTreeMap<(usize, usize), Role>,
    /// Changes to come, each after so many questions.
    planned: Vec<(usize, usize, usize, Role)>,
    trouble: Option<(usize, Trouble)>,
    is_blind: bool,
    /// The number of an arrived request, the space, and the answer.
    asked: Vec<(usize, Whose, Verdict)>,
    flaw: Flaw,
    kept: BTreeMap<(usize, usize), Verdict>,
    /// What was last granted, and what was last said of a space.
    granted: BTreeMap<(usize, usize), Verdict>,
    before: Option<Verdict>,
}

impl Club {
    pub fn new(members: &[(usize, usize, Role)], flaw: Flaw) -> Self {
        let roles = members.iter().map(|(person, space, role)| ((*person, *space), *role));
        Self {
            roles: roles.collect(),
            planned: Vec::new(),
            trouble: None,
            is_blind: false,
            asked: Vec::new(),
            flaw,
            kept: BTreeMap::new(),
            granted: BTreeMap::new(),
            before: None,
        }
    }

    pub fn move_member(&mut self, person: usize, space: usize, role: Role, calls: Option<usize>) {
        match calls {
            Some(calls) => self.planned.push((calls, person, space, role)),
            None => drop(self.roles.insert((person, space), role)),
        }
    }

    pub fn trouble(&mut self, calls: usize, trouble: Trouble) {
        self.trouble = Some((calls, trouble));
    }

    pub fn blind(&mut self, is_blind: bool) {
        self.is_blind = is_blind;
    }

    /// All that is planned happens, and there is no more trouble.
    pub fn calm(&mut self) {
        for (_, person, space, role) in std::mem::take(&mut self.planned) {
            self.roles.insert((person, space), role);
        }
        (self.trouble, self.is_blind) = (None, false);
    }

    /// The answer that the application would give now, if it has no trouble.
    pub fn verdict(&self, person: usize, whose: Whose) -> Verdict {
        let Some(space) = whose.filter(|_| !self.is_blind) else {
            return Verdict::Grants(person, false);
        };
        match (self.roles.get(&(person, space)), owner_of(space)) {
            (Some(Role::Reader), Some(owner)) => Verdict::Grants(owner, true),
            (Some(Role::Writer), Some(owner)) => Verdict::Grants(owner, false),
            _ => Verdict::NoMember,
        }
    }

    /// What was asked for a request since the last time, and answered.
    pub fn take_asked(&mut self, request: usize) -> Vec<(Whose, Verdict)> {
        let of_request = |it: &&(usize, Whose, Verdict)| it.0 == request;
        let asked = self.asked.iter().filter(of_request).map(|it| (it.1, it.2)).collect();
        self.asked.retain(|it| it.0 != request);
        asked
    }

    /// The server asks, for the request with this number.
    pub fn ask(
        &mut self,
        request: usize,
        token: &str,
        space: Option<&str>,
    ) -> Result<Grant, AuthError> {
        let mut planned = std::mem::take(&mut self.planned);
        planned.retain_mut(|(calls, person, space, role)| match calls {
            0 => {
                self.roles.insert((*person, *space), *role);
                false
            }
            _ => {
                *calls -= 1;
                true
            }
        });
        self.planned = planned;
        let named = space.map(|space| SPACES.iter().position(|name| *name == space));
        let person = PEOPLE.iter().position(|name| *name == token);
        let (Some(person), None | Some(Some(_))) = (person, named) else {
            return Err(AuthError::unauthenticated("Nobody has this token, or this space."));
        };
        let whose = named.flatten();
        let verdict = match &mut self.trouble {
            Some((0, trouble)) => {
                let trouble = *trouble;
                self.trouble = None;
                Verdict::Trouble(trouble)
            }
            Some((calls, _)) => {
                *calls -= 1;
                self.verdict(person, whose)
            }
            None => self.verdict(person, whose),
        };
        self.asked.push((request, whose, verdict));
        grant(self.flawed(person, whose, verdict), PEOPLE[person])
    }

    fn flawed(&mut self, person: usize, whose: Whose, verdict: Verdict) -> Verdict {
        let Some(space) = whose else { return verdict };
        let before = self.before.replace(verdict);
        let last = self.granted.get(&(person, space)).copied();
        if matches!(verdict, Verdict::Grants(..)) {
            self.granted.insert((person, space), verdict);
        }
        match (self.flaw, verdict) {
            (Flaw::MembershipIsKept, _) => *self.kept.entry((person, space)).or_insert(verdict),
            (Flaw::OfTheMemberBefore, _) => before.unwrap_or(verdict),
            (Flaw::ReadersWrite, Verdict::Grants(owner, true)) => Verdict::Grants(owner, false),
            (Flaw::OnceMore, Verdict::NoMember) => {
                self.granted.remove(&(person, space));
                last.unwrap_or(verdict)
            }
            _ => verdict,
        }
    }
}

fn grant(verdict: Verdict, person: &'static str) -> Result<Grant, AuthError> {
    match verdict {
        Verdict::Grants(owner, reads_only) => {
            let grant = Grant::new(Owner::new(OWNERS[owner])?).member(person);
            Ok(if reads_only { grant.read_only() } else { grant })
        }
        Verdict::NoMember => Err(AuthError::no_member(SENTENCE)),
        Verdict::Trouble(Trouble::Busy) => Err(AuthError::busy("the members are locked")),
        Verdict::Trouble(Trouble::Fails) => Err(AuthError::failed("there is no table of members")),
        Verdict::Trouble(Trouble::Forbids) => Err(AuthError::forbidden("Not today.")),
    }
}
