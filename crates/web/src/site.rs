//! Port 443: settings for mail programs, MTA-STS policies, and a page that says what this machine is.

use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::{Method, Request, StatusCode};
use kings_net::{Connection, Service};

use crate::answer::{self, Answer, BUSY, document, not_found, refusal, with_hsts, wrong_method};
use crate::clients::{Servers, apple, outlook, thunderbird};
use crate::connection;
use crate::names::{Names, Role, host_of};

/// The server on port 443. Clones share everything.
#[derive(Clone, Debug)]
pub struct Site {
    names: Names,
    servers: Servers,
}

/// What a path asks for, whatever the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resource {
    /// What this machine is.
    Home,
    /// RFC 8461 §3.2.
    Policy,
    /// Thunderbird's settings, at the path of `autoconfig.DOMAIN` or below `/.well-known`.
    Autoconfig,
    /// Outlook's settings.
    Autodiscover,
    /// Where Outlook's settings are.
    AutodiscoverWhere,
    /// Settings for Apple's devices.
    Apple,
}

impl Resource {
    /// Outlook is asked for in any letters.
    fn of(path: &str) -> Option<Self> {
        match path {
            "/" => return Some(Self::Home),
            "/.well-known/mta-sts.txt" => return Some(Self::Policy),
            "/mail/config-v1.1.xml" | "/.well-known/autoconfig/mail/config-v1.1.xml" => {
                return Some(Self::Autoconfig);
            }
            "/apple.mobileconfig" => return Some(Self::Apple),
            _ => {}
        }
        if path.eq_ignore_ascii_case("/autodiscover/autodiscover.xml") {
            return Some(Self::Autodiscover);
        }
        let version_2 = "/autodiscover/autodiscover.json";
        let rest = path.get(version_2.len()..).unwrap_or_default();
        let is_version_2 =
            path.get(..version_2.len()).is_some_and(|start| start.eq_ignore_ascii_case(version_2));
        (is_version_2 && (rest.is_empty() || rest.starts_with('/'))).then_some(Self::AutodiscoverWhere)
    }

    fn methods(self) -> (&'static [Method], &'static str) {
        match self {
            Self::Autodiscover => (&[Method::POST], "POST"),
            _ => (&[Method::GET, Method::HEAD], "GET, HEAD"),
        }
    }
}

impl Site {
    /// Serves the domains of `names`; mail programs are sent to `servers`.
    pub fn new(names: Names, servers: Servers) -> Self {
        Self { names, servers }
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).and_then(host_of);
        // HTTP/1.1 without a host, or with another's: what is the same for all is answered, as of the server.
        let role = host.as_deref().and_then(|host| self.names.role(host));
        with_hsts(self.answer_as(role, request).await)
    }

    async fn answer_as(&self, role: Option<Role<'_>>, request: Request<Incoming>) -> Answer {
        let Some(role) = role else {
            return refusal(StatusCode::MISDIRECTED_REQUEST, "No host of this name is served here.");
        };
        let Some(resource) = Resource::of(request.uri().path()) else { return not_found() };
        let (methods, allowed) = resource.methods();
        if !methods.contains(request.method()) {
            return wrong_method(allowed);
        }
        let query = request.uri().query().unwrap_or_default();
        match (resource, role) {
            (Resource::Policy, Role::Policy(domain)) => match self.names.policy(domain) {
                Some(policy) => document("text/plain; charset=utf-8", policy.to_owned()),
                None => not_found(),
            },
            (_, Role::Policy(_)) | (Resource::Policy, _) => not_found(),
            (Resource::Home, _) => answer::page(home(&self.names)),
            (Resource::Autoconfig, Role::Settings(domain) | Role::Domain(domain)) => {
                self.autoconfig(Some(domain))
            }
            (Resource::Autoconfig, Role::Server) => {
                self.autoconfig(self.asked_about(query).as_ref().map(|(_, domain)| *domain))
            }
            (Resource::Autodiscover, _) => self.autodiscover(request).await,
            (Resource::AutodiscoverWhere, _) => outlook::location(self.names.hostname(), query),
            (Resource::Apple, _) => match self.asked_about(query) {
                Some((address, _)) => {
                    let name = "attachment; filename=\"mail.mobileconfig\"";
                    answer::attachment(apple::MEDIA_TYPE, name, apple::profile(&self.servers, &address))
                }
                None => refusal(
                    StatusCode::NOT_FOUND,
                    "Ask with ?address=YOU@DOMAIN, an address of a domain that is hosted here.",
                ),
            },
        }
    }

    fn autoconfig(&self, domain: Option<&str>) -> Answer {
        match domain {
            Some(domain) => document("text/xml; charset=utf-8", thunderbird::config(&self.servers, domain)),
            None => not_found(),
        }
    }

    async fn autodiscover(&self, request: Request<Incoming>) -> Answer {
        let body = match connection::body(request).await {
            Ok(body) => body,
            Err(answer) => return answer,
        };
        let address = outlook::requested_address(&body);
        let address = address.filter(|address| self.is_hosted(address));
        document("text/xml; charset=utf-8", outlook::answer(&self.servers, address.as_ref()))
    }

    /// The address that a query names, with its domain, if that is hosted here. Whether there is such an account is
    /// told to nobody.
    fn asked_about(&self, query: &str) -> Option<(kings_mail::address::Address, &str)> {
        let address = crate::clients::address_in_query(query)?;
        let domain = self.names.hosted(address.domain()?.as_str())?;
        Some((address, domain))
    }

    fn is_hosted(&self, address: &kings_mail::address::Address) -> bool {
        address.domain().is_some_and(|domain| self.names.hosted(domain.as_str()).is_some())
    }
}

fn home(names: &Names) -> String {
    let name = names.hostname();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{name}</title>\
<meta name=\"viewport\" content=\"width=device-width\"><meta name=\"robots\" content=\"noindex\"></head>\n<body>\n\
<h1>{name}</h1>\n<p>This is a mail server.</p>\n<p>In most mail programs your address and password are enough: the rest is \
found by itself.</p>\n<form action=\"/apple.mobileconfig\" method=\"get\"><p>iPhone, iPad or Mac: \
<label>your address <input type=\"email\" name=\"address\" required></label> <button>Get the profile</button></p></form>\n\
</body></html>\n"
    )
}

impl Service for Site {
    async fn serve(&self, connection: Connection) {
        connection::serve(connection, |request| self.answer(request)).await;
    }

    fn busy(&self) -> &'static [u8] {
        BUSY
    }
}
