//! GETMETADATA and SETMETADATA (RFC 5464), also for LIST (RFC 9590).

use kings_imap::command::{GetMetadata, SetMetadata};
use kings_imap::response::{Annotation, Attribute};
use kings_imap::{Code, Condition, Response, Session, Tagged};
use kings_mail::rights::Rights;
use kings_store::{AccountEvent, Annotations, MAX_ANNOTATION, MailboxName, SpecialUse};

use super::convert::{use_to_imap, use_to_store};
use super::place::Home;
use super::{Client, Trouble};
use crate::blocking::blocking;

/// What a mailbox is for, which the store knows in its own way (RFC 6154 §4).
const SPECIAL_USE: &str = "/private/specialuse";

impl Client {
    pub(super) async fn get_metadata(
        &self,
        session: &mut Session,
        get: &GetMetadata,
    ) -> Result<Tagged, Trouble> {
        let (response, longest) = self.metadata_of(get).await?;
        if let Some(response) = response {
            session.respond(&response);
        }
        Ok(match longest {
            Some(octets) => {
                Tagged::with(Condition::Ok, Code::MetadataLongEntries(octets), "Some values are longer")
            }
            None => Tagged::DONE,
        })
    }

    /// The response, where there is something to tell, and the length of the longest value that is too long for it.
    pub(super) async fn metadata_of(
        &self,
        get: &GetMetadata,
    ) -> Result<(Option<Response>, Option<u64>), Trouble> {
        let (annotations, mailbox) = match &get.mailbox {
            None => (self.on_account(Home::annotations).await?, None),
            Some(name) => {
                let opened = self.open(name, Rights::LOOKS).await?;
                let mailbox = opened.to(Rights::LOOKS)?;
                let (asked, shown) = (mailbox.clone(), opened.shown());
                let mut annotations = blocking(move || asked.annotations()).await?;
                // What is private is so for the owner.
                annotations.retain(|name, _| opened.is_mine() || name.starts_with("/shared/"));
                let uses = if opened.is_mine() { self.uses_of(&mailbox.name()).await? } else { Vec::new() };
                if !uses.is_empty() {
                    let words: Vec<&str> =
                        uses.into_iter().map(|known| use_to_imap(known).as_str()).collect();
                    annotations.insert(SPECIAL_USE.to_owned(), words.join(" ").into_bytes());
                }
                (annotations, Some(shown))
            }
        };
        let (entries, longest) = told(get, &annotations);
        let response = Response::Metadata { mailbox, entries };
        let is_empty = matches!(&response, Response::Metadata { entries, .. } if entries.is_empty());
        Ok(((!is_empty).then_some(response), longest))
    }

    async fn uses_of(&self, name: &MailboxName) -> Result<Vec<SpecialUse>, Trouble> {
        let all = self.on_account(Home::list).await?;
        let listed = all.into_iter().find(|listed| listed.name == *name);
        Ok(listed.map(|listed| listed.special_uses).unwrap_or_default())
    }

    /// All entries or none.
    pub(super) async fn set_metadata(&mut self, set: SetMetadata) -> Result<Tagged, Trouble> {
        let SetMetadata { mailbox, entries } = set;
        if entries.iter().flat_map(|(_, value)| value).any(|value| value.len() > MAX_ANNOTATION) {
            let code = Code::MetadataMaxSize(MAX_ANNOTATION as u64);
            return Err(Trouble::Refused(Tagged::no(code, "The value is too long")));
        }
        let Some(name) = mailbox else {
            // What is shared by all accounts, such as `/shared/admin`, is the operator's.
            if entries.iter().any(|(entry, _)| entry.starts_with("/shared/")) {
                return Err(Trouble::Refused(Tagged::SERVER_METADATA));
            }
            let noted = noted(None, &entries);
            self.on_account(move |account| account.annotate(&entries)).await?;
            self.has_done(noted);
            return Ok(Tagged::DONE);
        };
        let opened = self.open(&name, Rights::LOOKUP).await?;
        if !opened.is_mine() && entries.iter().any(|(entry, _)| entry.starts_with("/private/")) {
            return Err(Trouble::Refused(Tagged::NO_PRIVATE_METADATA));
        }
        let mailbox = opened.to(Rights::NOTES)?.clone();
        let (uses, entries): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|(entry, _)| entry == SPECIAL_USE);
        let uses = match uses.into_iter().next_back() {
            Some((_, value)) => Some(uses_in(value.as_deref().unwrap_or_default())?),
            None => None,
        };
        let name = Some(mailbox.name());
        let mut done = vec![noted(name.clone(), &entries)];
        done.extend(
            uses.is_some()
                .then(|| AccountEvent::Noted { mailbox: name, entries: vec![SPECIAL_USE.to_owned()] }),
        );
        blocking(move || match uses {
            Some(uses) => mailbox.annotate_and_assign(&entries, &uses),
            None => mailbox.annotate(&entries),
        })
        .await?;
        for event in done.into_iter().filter(|_| opened.is_mine()) {
            self.has_done(event);
        }
        Ok(Tagged::DONE)
    }
}

fn noted(mailbox: Option<MailboxName>, entries: &[Annotation]) -> AccountEvent {
    AccountEvent::Noted { mailbox, entries: entries.iter().map(|(entry, _)| entry.clone()).collect() }
}

/// Entries that were asked for by name are told even where they are not there.
fn told(get: &GetMetadata, annotations: &Annotations) -> (Vec<Annotation>, Option<u64>) {
    let most = get.max_size.map_or(u64::MAX, u64::from);
    let length = |value: &Vec<u8>| value.len() as u64;
    let wanted = || annotations.iter().filter(|(name, _)| get.wants(name));
    let longest = wanted().map(|(_, value)| length(value)).filter(|length| *length > most).max();
    let there = wanted().filter(|(_, value)| length(value) <= most);
    let mut entries: Vec<_> = there.map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
    if get.depth == kings_imap::command::Depth::Zero {
        let missing = get.entries.iter().filter(|name| !annotations.contains_key(*name));
        entries.extend(missing.map(|name| (name.clone(), None)));
        entries.dedup();
    }
    (entries, longest)
}

/// `\Drafts \Sent`
fn uses_in(value: &[u8]) -> Result<Vec<SpecialUse>, Trouble> {
    let text = String::from_utf8_lossy(value);
    let known = |word: &str| {
        let attribute =
            Attribute::SPECIAL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(word));
        attribute.and_then(use_to_store).ok_or(Trouble::Refused(Tagged::NO_SUCH_USE))
    };
    text.split_whitespace().map(known).collect()
}
