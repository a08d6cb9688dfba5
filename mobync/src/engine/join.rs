//! Changes by the backend in a unit of work that the caller has opened.

use super::{
    Mobync,
    asked::Asked,
    attempt::{Attempt, Attempted, Source},
    backend::diff_of,
    learned::Learned,
    phase::Phase,
};
use crate::{
    Change, Database, Diff, Error, Owner, Rules, SyncResponse, merge::Request, schema::Lens,
};

impl<D: Database, R: Rules> Mobync<D, R> {
    /// As [`write`](Self::write), in this unit and in one attempt: only the caller can start it again.
    pub(crate) async fn write_in_unit(
        &self,
        unit: D::Unit,
        owner: &Owner,
        changes: impl IntoIterator<Item = Change>,
    ) -> Result<SyncResponse, Error> {
        let now = self.settings.now();
        let changes = changes.into_iter();
        let diffs: Vec<Diff> = changes.map(|change| diff_of(change, owner.as_str(), now)).collect();
        let request = Request::new(&diffs)?;
        let attempt = Attempt {
            phase: &Phase::default(),
            owner,
            request: &request,
            rules: &*self.rules,
            settings: &self.settings,
            source: Source::Server,
            asked: Asked::default(),
            learned: &mut Learned::default(),
        };
        let unit = Lens::new(unit, &self.settings.schema);
        match attempt.run(unit).await? {
            Attempted::Answered(answer) => Ok(answer),
            Attempted::Again | Attempted::Marked | Attempted::Met => {
                Err(Error::busy("the changes must be made again, in a new transaction"))
            }
        }
    }
}
