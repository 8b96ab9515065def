//! The words of `imap` and of `store` for the same things, each way.

use kings_imap::response::Attribute;
use kings_imap::{Flag, ModSeq, Uid};
use kings_store::{Flags, Keyword, SpecialUse, StoreError, SystemFlag};

/// A UID of the store on its way to the client.
pub(super) fn to_imap(uid: kings_store::Uid) -> Uid {
    Uid(uid.0)
}

/// The number of a change on its way to the client.
pub(super) fn modseq_to_imap(modseq: kings_store::ModSeq) -> ModSeq {
    ModSeq(modseq.get())
}

/// The number of a change on its way to the store.
pub(super) fn modseq_to_store(modseq: ModSeq) -> kings_store::ModSeq {
    kings_store::ModSeq::new(modseq.0)
}

/// A UID of the client on its way to the store.
pub(super) fn to_store(uid: Uid) -> kings_store::Uid {
    kings_store::Uid(uid.0)
}

/// Flags on their way to the client, system flags first.
pub(super) fn flag_names(flags: &Flags) -> Vec<Flag> {
    let system = flags.system().map(|flag| match flag {
        SystemFlag::Draft => Flag::Draft,
        SystemFlag::Flagged => Flag::Flagged,
        SystemFlag::Answered => Flag::Answered,
        SystemFlag::Seen => Flag::Seen,
        SystemFlag::Deleted => Flag::Deleted,
    });
    system.chain(keyword_names(flags.keywords())).collect()
}

/// Keywords on their way to the client.
pub(super) fn keyword_names(keywords: &[Keyword]) -> impl Iterator<Item = Flag> {
    keywords.iter().map(|keyword| Flag::Keyword(keyword.as_str().to_owned()))
}

/// Flags of the client on their way to the store.
pub(super) fn flag_set(flags: &[Flag]) -> Result<Flags, StoreError> {
    let mut set = Flags::default();
    for flag in flags {
        match flag {
            Flag::Draft => set.insert(SystemFlag::Draft),
            Flag::Flagged => set.insert(SystemFlag::Flagged),
            Flag::Answered => set.insert(SystemFlag::Answered),
            Flag::Seen => set.insert(SystemFlag::Seen),
            Flag::Deleted => set.insert(SystemFlag::Deleted),
            Flag::Keyword(keyword) => set.insert_keyword(Keyword::parse(keyword)?),
        }
    }
    Ok(set)
}

/// What a mailbox is for, on its way to the client.
pub(super) fn use_to_imap(special: SpecialUse) -> Attribute {
    match special {
        SpecialUse::Archive => Attribute::Archive,
        SpecialUse::Drafts => Attribute::Drafts,
        SpecialUse::Junk => Attribute::Junk,
        SpecialUse::Sent => Attribute::Sent,
        SpecialUse::Trash => Attribute::Trash,
    }
}

/// The same on its way to the store; `None` for an attribute that is no use.
pub(super) fn use_to_store(attribute: Attribute) -> Option<SpecialUse> {
    match attribute {
        Attribute::Archive => Some(SpecialUse::Archive),
        Attribute::Drafts => Some(SpecialUse::Drafts),
        Attribute::Junk => Some(SpecialUse::Junk),
        Attribute::Sent => Some(SpecialUse::Sent),
        Attribute::Trash => Some(SpecialUse::Trash),
        Attribute::NoSelect
        | Attribute::NonExistent
        | Attribute::HasChildren
        | Attribute::HasNoChildren
        | Attribute::Subscribed => None,
    }
}
