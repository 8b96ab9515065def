//! GETQUOTA and GETQUOTAROOT (RFC 9208).

use kings_imap::{QUOTA_ROOT, QuotaResource, Response, Session, Tagged};
use kings_mail::rights::Rights;
use kings_store::Quota;

use super::place::Home;
use super::{Client, Trouble};

impl Client {
    pub(super) async fn quota(&self, session: &mut Session, root: &str) -> Result<Tagged, Trouble> {
        if root != QUOTA_ROOT {
            return Err(Trouble::Refused(Tagged::NO_QUOTA_ROOT));
        }
        let quota = self.on_account(Home::quota).await?;
        session.respond(&Response::Quota(resources(quota)));
        Ok(Tagged::DONE)
    }

    pub(super) async fn quota_root(&self, session: &mut Session, name: &str) -> Result<Tagged, Trouble> {
        let opened = self.open(name, Rights::READ).await?;
        let (mailbox, is_others) = (opened.shown(), !opened.is_mine());
        session.respond(&Response::QuotaRoot { mailbox, is_others });
        if !is_others {
            let quota = self.on_account(Home::quota).await?;
            session.respond(&Response::Quota(resources(quota)));
        }
        Ok(Tagged::DONE)
    }
}

/// What has no limit is not told (RFC 9208 §3.1.1); storage counts in units of 1,024 octets (RFC 9208 §5.1).
fn resources(Quota { used, limits }: Quota) -> Vec<QuotaResource> {
    let units = |octets: u64| octets.div_ceil(1_024);
    let storage = limits.octets.map(|limit| QuotaResource {
        name: "STORAGE",
        used: units(used.octets),
        limit: units(limit),
    });
    let messages = limits.messages.map(|limit| QuotaResource { name: "MESSAGE", used: used.messages, limit });
    storage.into_iter().chain(messages).collect()
}
