//! A store that fails at a given call.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering::SeqCst},
};

use mobync::{
    Access,
    client::{
        LocalStore, LocalUnit, Located, Object, OverriddenDiff, Pending, RefusedDiff, State,
        StoreError,
    },
};

#[derive(Clone, Debug)]
pub struct Failing<S> {
    inner: S,
    calls_left: Arc<AtomicI64>,
}

#[derive(Debug)]
pub struct FailingUnit<U> {
    inner: U,
    calls_left: Arc<AtomicI64>,
}

impl<S> Failing<S> {
    /// The process is killed at this call, or directly behind it if it is a commit.
    pub fn new(inner: S, calls: i64) -> Self {
        Self { inner, calls_left: Arc::new(AtomicI64::new(calls)) }
    }

    pub fn has_failed(&self) -> bool {
        self.calls_left.load(SeqCst) < 0
    }
}

fn pass(calls_left: &AtomicI64) -> Result<(), StoreError> {
    if calls_left.fetch_sub(1, SeqCst) <= 0 {
        return Err(StoreError::new("killed"));
    }
    Ok(())
}

impl<S: LocalStore> LocalStore for Failing<S> {
    type Unit = FailingUnit<S::Unit>;

    async fn begin(&self, access: Access) -> Result<Self::Unit, StoreError> {
        pass(&self.calls_left)?;
        let inner = self.inner.begin(access).await?;
        Ok(FailingUnit { inner, calls_left: Arc::clone(&self.calls_left) })
    }
}

macro_rules! passes {
    ($($name:ident($($arg:ident: $type:ty),*) -> $result:ty;)*) => {
        $(async fn $name(&mut self, $($arg: $type),*) -> Result<$result, StoreError> {
            pass(&self.calls_left)?;
            self.inner.$name($($arg),*).await
        })*
    };
}

impl<U: LocalUnit> LocalUnit for FailingUnit<U> {
    passes! {
        state() -> State;
        set_state(state: &State) -> ();
        object(model: &str, id: &str) -> Object;
        objects(model: Option<&str>) -> Vec<Located>;
        objects_behind(last: Option<(&str, &str)>, most: usize) -> Vec<Located>;
        set_object(model: &str, id: &str, object: &Object) -> ();
        pending(most: usize) -> Vec<Pending>;
        set_pending(pending: &Pending) -> ();
        forget(seq: i64) -> ();
        refused() -> Vec<RefusedDiff>;
        set_refused(refused: &RefusedDiff) -> ();
        dismiss(diff_id: &str) -> ();
        overridden() -> Vec<OverriddenDiff>;
        set_overridden(overridden: &OverriddenDiff) -> ();
        dismiss_overridden(diff_id: &str) -> ();
    }

    async fn commit(self) -> Result<(), StoreError> {
        pass(&self.calls_left)?;
        self.inner.commit().await?;
        pass(&self.calls_left)
    }
}
