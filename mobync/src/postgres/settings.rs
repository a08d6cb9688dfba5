//! Session settings for the application's own policies and triggers.

use std::{fmt, sync::Arc};

use super::dialect::literal;
use crate::Owner;

type Named = Vec<(String, String)>;
type Make = dyn Fn(&Owner) -> Named + Send + Sync;

/// Makes the settings of an owner, if there are any.
#[derive(Clone, Default)]
pub(super) struct Settings(Option<Arc<Make>>);

impl Settings {
    pub(super) fn new(settings: impl Fn(&Owner) -> Named + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(settings)))
    }

    /// The statement that sets them for the transaction, if there are any.
    pub(super) fn set(&self, owner: &Owner) -> String {
        let settings = self.0.as_ref().map(|settings| settings(owner)).unwrap_or_default();
        let calls = settings.iter().map(|(name, value)| {
            format!("set_config({}, {}, true)", literal(name), literal(value))
        });
        let calls: Vec<String> = calls.collect();
        if calls.is_empty() { String::new() } else { format!("SELECT {}; ", calls.join(", ")) }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Settings").field(&self.0.is_some()).finish()
    }
}
