//! `[mailboxes]`: how people see their mail.

use std::time::Duration;

use kings_access::{Sharing, UidlFormat};
use kings_mail::domain::Domain;
use kings_store::{MailboxLayout, Naming};

use super::reader::{Section, Source};
use super::retention::{self, Retention};

/// The settings.
#[derive(Clone, Debug)]
pub(crate) struct Mailboxes {
    /// How clients see the names of mailboxes.
    pub(crate) naming: Naming,
    /// With whom accounts share mailboxes.
    pub(crate) sharing: Sharing,
    /// Whether they may be shared with everybody at once.
    pub(crate) shares_with_anyone: bool,
    /// How POP3 names messages.
    pub(crate) pop3_uidl: UidlFormat,
    /// One POP3 session of an account at a time.
    pub(crate) pop3_lock_session: bool,
    /// How long expunged mail can be put back.
    pub(crate) retention: Retention,
}

/// `[mailboxes]` and its delimiters.
pub(super) fn read(
    source: &mut Source<'_>,
    section: &mut Section<'_>,
    kept_by_domain: Vec<(Domain, Duration)>,
) -> (Mailboxes, String) {
    let naming = read_naming(source, section);
    let sharing = section.parsed(source, "sharing", "\"off\", \"domain\" or \"server\"", |text| match text {
        "off" => Ok(Sharing::Off),
        "domain" => Ok(Sharing::Domain),
        "server" => Ok(Sharing::Server),
        _ => Err("another reach"),
    });
    let sharing = sharing.unwrap_or(Sharing::Domain);
    let shares_with_anyone = section.flag(source, "share_with_anyone").unwrap_or(false);
    let form = "Dovecot's format, with %u or %g in it, such as \"%08Xu%08Xv\"";
    let pop3_uidl = section.parsed(source, "pop3_uidl_format", form, str::parse).unwrap_or_default();
    let pop3_lock_session = section.flag(source, "pop3_lock_session").unwrap_or(false);
    let retention = Retention::new(retention::time(source, section), kept_by_domain);
    let what = "characters such as \"+\" or \"+-\", or \"\" for no tags";
    let delimiters = section.parsed(source, "recipient_delimiter", what, |text| {
        let fits = text.chars().all(|c| "!#$%&'*+-/=?^_`{|}~.".contains(c));
        fits.then(|| text.to_owned()).ok_or("another character")
    });
    (
        Mailboxes { naming, sharing, shares_with_anyone, pop3_uidl, pop3_lock_session, retention },
        delimiters.unwrap_or_else(|| "+".to_owned()),
    )
}

/// How mailboxes lie on disk, and what people see of that.
fn read_naming(source: &mut Source<'_>, section: &mut Section<'_>) -> Naming {
    let layout = section.parsed(source, "layout", "\"maildir++\" or \"fs\"", |text| match text {
        "maildir++" => Ok(MailboxLayout::MaildirPlusPlus),
        "fs" => Ok(MailboxLayout::Fs),
        _ => Err("another layout"),
    });
    let layout = layout.unwrap_or_default();
    // Where folders lie in folders their names may have dots.
    let (standard, separators) = match layout {
        MailboxLayout::MaildirPlusPlus => ('.', "\".\" or \"/\""),
        MailboxLayout::Fs => ('/', "\"/\" with layout = \"fs\""),
    };
    let separator = section.parsed(source, "separator", separators, |text| match text {
        "/" => Ok('/'),
        "." if layout == MailboxLayout::MaildirPlusPlus => Ok('.'),
        _ => Err("another character"),
    });
    let separator = separator.unwrap_or(standard);
    let prefixes = format!("\"\" or \"INBOX{separator}\"");
    let below_inbox = section.parsed(source, "prefix", &prefixes, |text| match text.strip_prefix("INBOX") {
        None if text.is_empty() => Ok(false),
        Some(rest) if rest.chars().eq([separator]) => Ok(true),
        _ => Err("another prefix"),
    });
    Naming { separator, below_inbox: below_inbox.unwrap_or(false), layout }
}
