//! Opens the places of `[listen]`; what the server before us still holds is waited for.

use std::io;
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use kings_net::{Access, BindError, Bound, Place};

use super::holder::{self, Holder};
use super::{Server, Socket};
use crate::config::Settings;
use crate::identity::Identity;

/// How long all of them together are waited for: a server that was told to stop lets go of its ports at once, and of its
/// data within ten seconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(12);
/// How often it is tried meanwhile.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
/// How long a port is waited for that something else uses: it may be a server that we replace.
const PATIENCE_WITH_STRANGERS: Duration = Duration::from_secs(5);

/// Opens all of them, or none.
pub(super) fn bind_all(settings: &Settings, identity: &Identity) -> anyhow::Result<Vec<Socket>> {
    let listen = &settings.listen;
    let tcp = |addresses: &[SocketAddr]| addresses.iter().copied().map(Place::Tcp).collect();
    let all: [(Server, Vec<Place>); 11] = [
        (Server::Smtp, tcp(&listen.smtp)),
        (Server::Submission, tcp(&listen.submission)),
        (Server::Submissions, tcp(&listen.submissions)),
        (Server::Lmtp, listen.lmtp.clone()),
        (Server::Auth, listen.auth.clone()),
        (Server::Imap, tcp(&listen.imap)),
        (Server::Imaps, tcp(&listen.imaps)),
        (Server::Pop3, tcp(&listen.pop3)),
        (Server::Pop3s, tcp(&listen.pop3s)),
        (Server::Http, tcp(&listen.http)),
        (Server::Https, tcp(&listen.https)),
    ];
    let of_lmtp = identity.socket_access(&listen.lmtp_access)?;
    let of_auth = identity.socket_access(&listen.auth_access)?;
    let deadline = patience_ends();
    let mut sockets = Vec::new();
    for (server, places) in all {
        let access = if server == Server::Auth { of_auth } else { of_lmtp };
        for place in places {
            let (bound, place) =
                bind(&place, access, deadline).with_context(|| format!("[listen] {}", server.name()))?;
            sockets.push(Socket { server, place, bound });
        }
    }
    Ok(sockets)
}

/// Until when places that are begun with now are waited for.
pub(crate) fn patience_ends() -> Instant {
    Instant::now() + PATIENCE_WITH_STRANGERS
}

/// Opens one place; what uses it is waited for until then.
pub(crate) fn bind(place: &Place, access: Access, deadline: Instant) -> anyhow::Result<(Bound, Place)> {
    let mut is_first = true;
    loop {
        match kings_net::bind(place, access) {
            Err(error) if error.cause.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                if std::mem::take(&mut is_first) {
                    let holders = holder::of(place);
                    if is_ours(&holders) {
                        return Err(anyhow!("{error}; {}", remedy(&error)));
                    }
                    let holders = named(&holders);
                    tracing::warn!("{place} is in use by {holders}: waiting a few seconds for its end");
                }
                sleep(PAUSE);
            }
            bound => return bound.map_err(|error| anyhow!("{error}; {}", remedy(&error))),
        }
    }
}

/// Who has a place of ours, for people and by their numbers as far as we may know them; `None` where it is free.
pub(crate) fn holder_of(place: &Place) -> Option<(String, Vec<u32>)> {
    let holders = holder::of(place);
    let is_held = match place {
        Place::Tcp(address) => {
            let tried = std::net::TcpListener::bind(address);
            !holders.is_empty() || tried.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
        }
        Place::Unix(_) => !holders.is_empty(),
    };
    is_held.then(|| (named(&holders), holders.iter().map(Holder::pid).collect()))
}

/// What to do about a place that cannot be had.
fn remedy(BindError { place, cause }: &BindError) -> String {
    let look = match place {
        Place::Tcp(address) => format!("ss -ltnp 'sport = :{}'", address.port()),
        Place::Unix(path) => format!("ss -lxp src {}", path.display()),
    };
    match cause.kind() {
        io::ErrorKind::AddrInUse => match holder::of(place) {
            holders if holders.is_empty() => {
                format!(
                    "another process uses it, which is told, to root, by  {look}  : stop that one, or listen elsewhere"
                )
            }
            holders if is_ours(&holders) => {
                "this server listens there already, by another line of [listen]: remove one of them"
                    .to_owned()
            }
            holders => format!("{} uses it: stop that one, or listen elsewhere", named(&holders)),
        },
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address (yet): see those it has with  ip address".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "start as root with  user = \"...\"  in the config, or give the program CAP_NET_BIND_SERVICE"
                .to_owned()
        }
        _ => format!("see who uses it with  {look}"),
    }
}

/// Whether nobody but this process has it: to wait for that is to wait for ever.
fn is_ours(holders: &[Holder]) -> bool {
    !holders.is_empty() && holders.iter().all(Holder::is_this_process)
}

fn named(holders: &[Holder]) -> String {
    if holders.is_empty() {
        return "another process".to_owned();
    }
    let names: Vec<String> = holders.iter().map(Holder::to_string).collect();
    names.join(" and ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn what_this_server_holds_itself_is_not_waited_for_and_named_as_its_own() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = Place::Tcp(held.local_addr().unwrap());
        let began = Instant::now();
        let access = Access { mode: 0o600, owner: None, group: None };
        let error = bind(&place, access, patience_ends()).unwrap_err().to_string();
        assert!(error.ends_with("by another line of [listen]: remove one of them"), "{error}");
        assert!(began.elapsed() < PATIENCE_WITH_STRANGERS, "{:?}", began.elapsed());
    }
}
