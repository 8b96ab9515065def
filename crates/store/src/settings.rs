//! Where mail lives: the root folder and how an account's folder is named below it.

use std::path::PathBuf;

use kings_mail::address::{Address, Host};

use crate::dir::is_component;
use crate::error::StoreError;
use crate::mailbox_layout::MailboxLayout;

/// Checked settings of the store. The only place of its public API where a path shows.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder below which every account has its Maildir. Created when its parent exists.
    pub mail_dir: PathBuf,
    /// The folder for the indexes of all accounts, made when it is needed. Without one, a start makes every client that
    /// asks for changes hear of all messages once.
    pub index_dir: Option<PathBuf>,
    /// How an account's Maildir is found below `mail_dir`.
    pub layout: Layout,
    /// How the mailboxes lie in it.
    pub mailboxes: MailboxLayout,
    /// Whether inotify is believed to tell of every change, on file systems of one machine. Otherwise, and on all others, the
    /// times of the folders tell.
    pub trust_inotify: bool,
    /// Free bytes below which no new message is begun; reading, flags and deletion still work.
    pub free_space_reserve: u64,
}

/// The folders from the root to an account's Maildir, such as `{domain}/{user}`.
///
/// ```
/// use kings_store::Layout;
/// assert!(Layout::parse("{domain}/{user}").is_ok());
/// assert!(Layout::parse("{domain}/../{user}").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout(Vec<String>);

/// The text is not a layout: relative folders, `{user}` in at least one of them, no dots that climb.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a layout is folders joined by `/`, made of text, {{domain}} and {{user}}, with {{user}} at least once"
)]
pub struct BadLayout;

impl Layout {
    /// Parses a layout. Without `{domain}` two domains share accounts of the same name: right only where
    /// one domain is hosted.
    pub fn parse(text: &str) -> Result<Self, BadLayout> {
        let segments: Vec<String> = text.split('/').map(str::to_owned).collect();
        let plain = |segment: &String| {
            let text = segment.replace("{domain}", "d").replace("{user}", "u");
            is_component(text.as_bytes()) && !text.starts_with('.') && !text.contains(['{', '}'])
        };
        let ok = segments.iter().all(plain) && segments.iter().any(|segment| segment.contains("{user}"));
        ok.then_some(Self(segments)).ok_or(BadLayout)
    }

    /// The folder names for `account`, which is folded to lower case first.
    ///
    /// One that cannot have a folder has none ([`Address::fits_a_folder`]).
    pub(crate) fn folders(&self, account: &Address) -> Result<Vec<String>, StoreError> {
        let folded = account.folded();
        let Host::Domain(domain) = &folded.host else { return Err(StoreError::BadName) };
        let user = folded.local_part.as_str();
        if !folded.fits_a_folder() {
            return Err(StoreError::BadName);
        }
        let fill = |segment: &String| segment.replace("{domain}", domain.as_str()).replace("{user}", user);
        Ok(self.0.iter().map(fill).collect())
    }
}

impl Default for Layout {
    fn default() -> Self {
        Self(vec!["{domain}".to_owned(), "{user}".to_owned()])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn layouts_stay_below_the_root() {
        let cases = [
            ("{domain}/{user}", true),
            ("{user}", true),
            ("mail/{domain}/{user}/Maildir", true),
            ("{user}@{domain}", true),
            ("", false),
            ("{domain}", false),
            ("/{domain}/{user}", false),
            ("{domain}//{user}", false),
            ("../{user}", false),
            ("{domain}/./{user}", false),
            ("{domain}/.{user}", false),
            ("{name}/{user}", false),
        ];
        for (text, expected) in cases {
            assert_eq!(Layout::parse(text).is_ok(), expected, "{text}");
        }
    }

    #[test]
    fn accounts_become_folders_or_nothing() {
        let cases = [
            ("Ann@Example.org", Some("example.org/ann")),
            ("ann+tag@example.org", Some("example.org/ann+tag")),
            ("jürgen@example.org", Some("example.org/jürgen")),
            (r#""../../etc"@example.org"#, None),
            (r#""..""#, None),
            (r#"".."@example.org"#, None),
            (r#""."@example.org"#, None),
            (r#"".Sent"@example.org"#, None),
            (r#""a/b"@example.org"#, None),
            ("ann@[192.0.2.1]", None),
        ];
        for (text, expected) in cases {
            let folders =
                Address::parse(text).ok().and_then(|address| Layout::default().folders(&address).ok());
            assert_eq!(folders.map(|names| names.join("/")).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn braces_in_a_name_are_not_filled_twice() {
        let address = Address::parse("{domain}@example.org").unwrap();
        assert_eq!(Layout::default().folders(&address).unwrap().join("/"), "example.org/{domain}");
    }
}
