//! One client of the mail server: who it is, whether its mail is ours, and the message at hand.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use kings_dns::Dns;
use kings_mail::domain::Domain;
use kings_mail::path::ReversePath;
use kings_milter::{Answer, Change, Command, Family, Peer, Server};

use super::message::Message;
use super::{Names, Shared};
use crate::policy::filter::Origin;

/// What the mail server told before the message.
pub(super) struct Client {
    /// Loopback where the mail server says none: mail of its own machine.
    pub(super) address: IpAddr,
    /// Its name by DNS, where the mail server found that it leads back.
    pub(super) name: Option<String>,
    pub(super) helo: String,
}

pub(super) struct Session<D> {
    shared: Arc<Shared<D>>,
    client: Client,
    message: Option<Message>,
}

impl<D: Dns + 'static> Session<D> {
    pub(super) fn new(shared: Arc<Shared<D>>) -> Self {
        let client = Client { address: Ipv4Addr::LOCALHOST.into(), name: None, helo: String::new() };
        Self { shared, client, message: None }
    }

    pub(super) fn is_in_message(&self) -> bool {
        self.message.is_some()
    }

    pub(super) fn abort(&mut self) {
        self.message = None;
    }

    /// Takes one step of the mail server; what comes back is of use where it waits for it.
    pub(super) async fn hear(&mut self, server: &Server, command: Command) -> (Vec<Change>, Answer) {
        let answer = match command {
            Command::Connect(name, peer) => self.connect(&name, peer.as_ref()),
            Command::Helo(name) => {
                self.client.helo = text(&name);
                Answer::Continue
            }
            Command::Mail(words) => {
                self.message = Some(Message::new(reverse_path(&words), names(&self.shared, server)));
                Answer::Continue
            }
            Command::Rcpt(words) => {
                if let Some(message) = &mut self.message {
                    message.recipient(&self.shared, &bare_path(&words));
                }
                Answer::Continue
            }
            Command::Header(name, value) => {
                if let Some(message) = &mut self.message {
                    message.header(&self.shared, &name, &value, server.keeps_leading_space());
                }
                Answer::Continue
            }
            Command::EndOfHeader => self.end_of_header(server),
            Command::Body(piece) => {
                if let Some(message) = &mut self.message {
                    message.body(&self.shared, &piece);
                }
                Answer::Continue
            }
            Command::EndOfBody(piece) => return self.end(server, &piece).await,
            _ => Answer::Continue,
        };
        (Vec::new(), answer)
    }

    fn connect(&mut self, name: &[u8], peer: Option<&Peer>) -> Answer {
        let address = peer.filter(|peer| peer.family != Family::Unix);
        let address = address.and_then(|peer| text(&peer.address).parse::<IpAddr>().ok());
        // Postfix says "unknown" of a client whose name does not lead back, sendmail its address in brackets.
        let name = text(name);
        let is_name = !name.starts_with('[') && !name.eq_ignore_ascii_case("unknown");
        self.client.address = address.map_or(Ipv4Addr::LOCALHOST.into(), |address| address.to_canonical());
        self.client.name = is_name.then_some(name);
        let Client { address, name, .. } = &self.client;
        if self.shared.settings.peers.contains(*address, name.as_deref()) {
            return Answer::Accept;
        }
        Answer::Continue
    }

    fn end_of_header(&mut self, server: &Server) -> Answer {
        let origin = self.origin(server);
        let Some(message) = &mut self.message else { return Answer::Continue };
        if message.end_of_header(&self.shared, &self.client, origin) {
            return Answer::Continue;
        }
        self.message = None;
        Answer::Accept
    }

    async fn end(&mut self, server: &Server, piece: &[u8]) -> (Vec<Change>, Answer) {
        let Some(mut message) = self.message.take() else { return (Vec::new(), Answer::Continue) };
        message.body(&self.shared, piece);
        let id = server.macro_value("i").map(text).unwrap_or_default();
        message.finish(&self.shared, &id, server.keeps_leading_space()).await
    }

    /// Whose mail it is: by login, by what the operator trusts the mail server for, or by the client's address.
    fn origin(&self, server: &Server) -> Origin {
        let said = |name: &str| server.macro_value(name).filter(|value| !value.is_empty());
        let logged_in = said("auth_authen").is_some() || said("auth_type").is_some();
        let marked = self.shared.settings.marks.iter().any(|mark| {
            said(&mark.name).is_some_and(|value| {
                mark.values.is_empty() || mark.values.iter().any(|wanted| wanted.as_bytes() == value)
            })
        });
        let Client { address, name, .. } = &self.client;
        if logged_in || marked || self.shared.settings.signing.trusts(*address, name.as_deref()) {
            Origin::Ours
        } else {
            Origin::Outside
        }
    }
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// A path that nobody understands is not judged.
fn reverse_path(words: &[Vec<u8>]) -> ReversePath {
    ReversePath::parse(&bare_path(words)).unwrap_or(ReversePath::Null)
}

/// What MAIL or RCPT names, without its brackets.
fn bare_path(words: &[Vec<u8>]) -> String {
    let path = words.first().map(|path| text(path)).unwrap_or_default();
    let bare = path.strip_prefix('<').and_then(|path| path.strip_suffix('>'));
    bare.map(str::to_owned).unwrap_or(path)
}

/// The mail server says its name once, when a client comes; what is no domain is nobody's name.
fn names<D>(shared: &Shared<D>, server: &Server) -> Names {
    let mail_server = server.macro_value("j").and_then(|name| Domain::parse(&text(name)).ok());
    let settings = &shared.settings;
    let own = settings.authserv_id.as_ref().or(mail_server.as_ref()).unwrap_or(&settings.hostname);
    Names { authserv_id: own.clone(), mail_server }
}
