//! What commands about mailboxes share: the store as the server sees it, and the accounts they are about.

use kings_directory::Directory;
use kings_mail::address::Address;
use kings_store::{Naming, Store};

use super::{Common, Failure};
use crate::identity::Identity;
use crate::{prepare, serve};

/// The store beside the running server, with the accounts it belongs to.
pub(super) struct Mail {
    pub(super) directory: Directory,
    pub(super) store: Store,
    /// How clients see the names of mailboxes, and so people.
    pub(super) naming: Naming,
}

impl Mail {
    /// Opens it as the user of the server: what is written down must belong to that one.
    pub(super) fn open(common: &Common) -> Result<Self, Failure> {
        let settings = common.settings()?;
        let become_it = || Identity::find(settings.user.as_deref())?.become_it();
        become_it().map_err(|error| Failure::not_allowed(format!("{error:#}")))?;
        let directory =
            prepare::open_directory(&settings).map_err(|error| Failure::config(error.to_string()))?;
        let store =
            serve::open_store(&settings).map_err(|error| Failure::cannot_tell(format!("{error:#}")))?;
        let (quotas, accounts) = (settings.quotas.clone(), directory.clone());
        store.limit_by(move |account| quotas.of(account, &accounts.quota_rule(account)));
        let retention = settings.mailboxes.retention.clone();
        store.keep_expunged_for(move |account| retention.of(account));
        Ok(Self { directory, store, naming: settings.mailboxes.naming })
    }

    /// Those that are named, or all accounts; one that does not exist is told.
    pub(super) fn accounts(&self, wanted: &[Address]) -> Result<Vec<Address>, Failure> {
        if let Some(unknown) = wanted.iter().find(|account| !self.directory.has_account(account)) {
            return Err(Failure::check_failed(format!(
                "there is no account {unknown}: kings account list shows all"
            )));
        }
        if wanted.is_empty() {
            return Ok(self.directory.accounts().into_iter().map(|(account, _)| account).collect());
        }
        Ok(wanted.iter().map(Address::folded).collect())
    }
}

/// An account on the command line.
pub(super) fn account(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|error| error.to_string())
}
