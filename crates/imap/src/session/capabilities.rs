//! What the server says that it can, which depends on how far the client has got.

use std::borrow::Cow;

use kings_sasl::{Mechanism, Mechanisms};

use super::{Compression, Session};

impl Session {
    /// RFC 3501 §6.1.1. LITERAL+ would let strangers send large literals unasked (RFC 7888 §5).
    pub(super) fn capabilities(&self) -> Vec<Cow<'static, str>> {
        let mut words = vec!["IMAP4rev1", "IMAP4rev2", "SASL-IR", "ID", "ENABLE"];
        if self.is_authenticated() {
            words.extend(["LITERAL+", "UNAUTHENTICATE"]);
            words.extend((self.compression == Compression::Off).then_some("COMPRESS=DEFLATE"));
        } else {
            words.push("LITERAL-");
            if self.settings.tls {
                words.extend(self.settings.mechanisms.iter().map(Mechanism::capability));
            } else {
                words.extend(self.settings.starttls.then_some("STARTTLS"));
            }
            words.extend((!self.takes_passwords()).then_some("LOGINDISABLED"));
        }
        words.extend([
            "NAMESPACE",
            "CHILDREN",
            "SPECIAL-USE",
            "CREATE-SPECIAL-USE",
            "UIDPLUS",
            "MOVE",
            "UNSELECT",
            "IDLE",
        ]);
        words.extend([
            "MULTIAPPEND",
            "SORT",
            "SORT=DISPLAY",
            "ESORT",
            "THREAD=ORDEREDSUBJECT",
            "THREAD=REFERENCES",
            "ESEARCH",
            "SEARCHRES",
            "WITHIN",
            "LIST-EXTENDED",
            "LIST-STATUS",
            "STATUS=SIZE",
            "QUOTA",
            "QUOTA=RES-STORAGE",
            "QUOTA=RES-MESSAGE",
            "CONDSTORE",
            "QRESYNC",
            "OBJECTID",
            "SAVEDATE",
            "PREVIEW",
            "BINARY",
            "REPLACE",
            "CATENATE",
            "UTF8=ACCEPT",
            "METADATA",
            "LIST-METADATA",
            "NOTIFY",
            "MULTISEARCH",
            "PARTIAL",
            "UIDONLY",
        ]);
        if self.settings.namespaces.shares {
            words.extend(["ACL", "RIGHTS=kxte", "LIST-MYRIGHTS"]);
        }
        let mut words: Vec<_> = words.into_iter().map(Cow::Borrowed).collect();
        // RFC 7889 §2: one number for all mailboxes.
        words.push(Cow::Owned(format!("APPENDLIMIT={}", self.settings.message_bytes)));
        words
    }

    /// LOGIN does what the mechanism of that name does, so it is there when one like it is (RFC 3501 §6.2.3).
    pub(super) fn takes_passwords(&self) -> bool {
        let mechanisms = self.settings.mechanisms;
        self.settings.tls && Mechanisms::PASSWORD.iter().any(|mechanism| mechanisms.contains(mechanism))
    }
}
