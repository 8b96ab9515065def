//! What the operator says about accounts: asked for each of them anew, so that a new config acts at once.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use kings_mail::address::Address;

type Of<T> = dyn Fn(&Address) -> T + Send + Sync;

/// One setting of all accounts; the default before somebody says otherwise.
pub(crate) struct Rules<T>(RwLock<Option<Arc<Of<T>>>>);

impl<T> Default for Rules<T> {
    fn default() -> Self {
        Self(RwLock::new(None))
    }
}

impl<T: Default> Rules<T> {
    pub(crate) fn set(&self, of: Arc<Of<T>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(of);
    }

    pub(crate) fn of(&self, account: &Address) -> T {
        let of = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        of.map(|of| of(account)).unwrap_or_default()
    }
}

impl<T> fmt::Debug for Rules<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rules(..)")
    }
}
