//! `[listen]`: which servers run, and where.

use std::net::SocketAddr;

use kings_net::IpNet;

use super::reader::{Section, Source};

/// Addresses per server; an empty list is a server that does not run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listen {
    /// Peers that open with a PROXY header.
    pub(crate) proxy_from: Vec<IpNet>,
    /// Mail from other servers.
    pub(crate) smtp: Vec<SocketAddr>,
    /// Submission with STARTTLS.
    pub(crate) submission: Vec<SocketAddr>,
    /// Submission under TLS from the first byte.
    pub(crate) submissions: Vec<SocketAddr>,
    /// IMAP with STARTTLS.
    pub(crate) imap: Vec<SocketAddr>,
    /// IMAP under TLS from the first byte.
    pub(crate) imaps: Vec<SocketAddr>,
}

/// Servers of the design that are not built yet.
const NOT_BUILT: [&str; 6] = ["pop3", "pop3s", "lmtp", "managesieve", "http", "https"];

impl Listen {
    pub(super) fn read(source: &mut Source<'_>, section: &mut Section<'_>) -> Self {
        let mut addresses = |key| {
            section.list(
                source,
                key,
                "an address with its port such as \"[::]:25\"",
                str::parse::<SocketAddr>,
            )
        };
        let listen = Self {
            smtp: addresses("smtp"),
            submission: addresses("submission"),
            submissions: addresses("submissions"),
            imap: addresses("imap"),
            imaps: addresses("imaps"),
            proxy_from: Vec::new(),
        };
        for key in NOT_BUILT {
            let Some(value) = section.value(key) else { continue };
            let off = value.get_ref().as_array().is_some_and(|addresses| addresses.iter().next().is_none());
            if !off {
                source.complain_at(
                    value.span(),
                    format!("the {key} server is not built yet: remove {key} from [listen]"),
                );
            }
        }
        let proxy_from =
            section.list(source, "proxy_from", "a network such as \"127.0.0.0/8\"", str::parse::<IpNet>);
        let listen = Self { proxy_from, ..listen };
        if listen.is_empty() {
            source
                .complain("nothing listens: add [listen] with smtp = [\"[::]:25\"] and the others you want");
        }
        listen
    }

    fn is_empty(&self) -> bool {
        let Self { proxy_from: _, smtp, submission, submissions, imap, imaps } = self;
        [smtp, submission, submissions, imap, imaps].iter().all(|addresses| addresses.is_empty())
    }
}
