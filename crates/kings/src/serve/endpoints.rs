//! The listeners: what each serves, to whom, and how it begins.

use std::sync::Arc;

use arc_swap::ArcSwap;
use kings_access::{Auth, Imap, Pop3};
use kings_mta::{Lmtp, Receive, Submit};
use kings_net::{Bound, Endpoint, Guard, Listener, Memory, Resolver, Service, Shutdown, Slots, TaskTracker};
use kings_web::{Plain, Site};
use rustls::ServerConfig;

use super::services::Services;
use crate::config::Settings;
use crate::prepare::{Server, Socket};

/// What each listener serves; a reload swaps it.
pub(super) struct Endpoints {
    smtp: Arc<ArcSwap<Endpoint<Receive<Resolver>>>>,
    submission: Arc<ArcSwap<Endpoint<Submit<Resolver>>>>,
    submissions: Arc<ArcSwap<Endpoint<Submit<Resolver>>>>,
    lmtp: Arc<ArcSwap<Endpoint<Lmtp>>>,
    auth: Arc<ArcSwap<Endpoint<Auth>>>,
    imap: Arc<ArcSwap<Endpoint<Imap>>>,
    imaps: Arc<ArcSwap<Endpoint<Imap>>>,
    pop3: Arc<ArcSwap<Endpoint<Pop3>>>,
    pop3s: Arc<ArcSwap<Endpoint<Pop3>>>,
    http: Arc<ArcSwap<Endpoint<Plain>>>,
    https: Arc<ArcSwap<Endpoint<Site>>>,
}

impl Endpoints {
    pub(super) fn new(
        settings: &Settings,
        tls: &Arc<ServerConfig>,
        services: &Services,
        memory: &Memory,
    ) -> Self {
        let Services { receive, submit, lmtp, auth, imap, pop3, plain, site, .. } = services;
        let (people, web) = (&services.tls_for_people, &services.tls_for_web);
        Self {
            smtp: swap(endpoint((settings, memory), Server::Smtp, tls, receive)),
            submission: swap(endpoint((settings, memory), Server::Submission, people, submit)),
            submissions: swap(endpoint((settings, memory), Server::Submissions, people, submit)),
            lmtp: swap(endpoint((settings, memory), Server::Lmtp, tls, lmtp)),
            auth: swap(endpoint((settings, memory), Server::Auth, tls, auth)),
            imap: swap(endpoint((settings, memory), Server::Imap, people, imap)),
            imaps: swap(endpoint((settings, memory), Server::Imaps, people, imap)),
            pop3: swap(endpoint((settings, memory), Server::Pop3, people, pop3)),
            pop3s: swap(endpoint((settings, memory), Server::Pop3s, people, pop3)),
            http: swap(endpoint((settings, memory), Server::Http, tls, plain)),
            https: swap(endpoint((settings, memory), Server::Https, web, site)),
        }
    }

    /// Puts the new services in the place of the old ones; connections that stand keep theirs.
    pub(super) fn replace(&self, new: &Self) {
        self.smtp.store(new.smtp.load_full());
        self.submission.store(new.submission.load_full());
        self.submissions.store(new.submissions.load_full());
        self.lmtp.store(new.lmtp.load_full());
        self.auth.store(new.auth.load_full());
        self.imap.store(new.imap.load_full());
        self.imaps.store(new.imaps.load_full());
        self.pop3.store(new.pop3.load_full());
        self.pop3s.store(new.pop3s.load_full());
        self.http.store(new.http.load_full());
        self.https.store(new.https.load_full());
    }
}

fn swap<S>(endpoint: Endpoint<S>) -> Arc<ArcSwap<Endpoint<S>>> {
    Arc::new(ArcSwap::from_pointee(endpoint))
}

fn endpoint<S: Clone>(
    (settings, memory): (&Settings, &Memory),
    server: Server,
    tls: &Arc<ServerConfig>,
    service: &S,
) -> Endpoint<S> {
    let limits = &settings.limits;
    let (connections, connections_per_address, arrivals_per_address) = match server {
        Server::Smtp | Server::Submission | Server::Submissions | Server::Lmtp | Server::Auth => {
            (limits.smtp_connections, limits.smtp_connections_per_address, limits.smtp_arrivals)
        }
        // Logged-in sessions are counted by account; how many an address may have is up to its users.
        Server::Imap | Server::Imaps | Server::Pop3 | Server::Pop3s => {
            (limits.imap_connections, limits.imap_connections, limits.imap_arrivals)
        }
        Server::Http | Server::Https => {
            (limits.http_connections, limits.http_connections_per_address, limits.http_arrivals)
        }
    };
    let guard = Guard {
        proxy_from: settings.listen.proxy_from.clone(),
        exempt: limits.exempt.clone(),
        connections,
        connections_per_address,
        arrivals_per_address,
        memory: memory.clone(),
    };
    Endpoint { service: service.clone(), tls: server.is_tls().then(|| for_server(tls, server)), guard }
}

/// TLS from the first byte, for clients that mean this protocol or say nothing about it (RFC 7301 §3.2): a
/// browser that was sent to a mail port offers only its own protocols, and its handshake must fail before it
/// has said anything a mail server could take for commands.
fn for_server(tls: &ServerConfig, server: Server) -> Arc<ServerConfig> {
    let protocols: &[&str] = match server {
        // No name is registered for SMTP; these are the ones Exim uses.
        Server::Smtp | Server::Submission | Server::Submissions | Server::Lmtp | Server::Auth => {
            &["smtp", "esmtp"]
        }
        Server::Imap | Server::Imaps => &["imap"],
        Server::Pop3 | Server::Pop3s => &["pop3"],
        // An authority that looks whether a name is ours ends the connection after the handshake.
        Server::Http | Server::Https => &["http/1.1", "acme-tls/1"],
    };
    let mut tls = tls.clone();
    tls.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(tls)
}

/// Starts a task for every socket. Those of one protocol share their count of connections, and so do IMAP and POP3.
pub(super) fn listen(
    sockets: Vec<Socket>,
    endpoints: &Endpoints,
    tasks: &TaskTracker,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let [smtp, submission, lmtp, auth, imap, http] = [(); 6].map(|()| Slots::default());
    for Socket { server, bound, .. } in sockets {
        let start = Start { server, socket: bound, tasks, shutdown };
        match server {
            Server::Smtp => start.listener(&endpoints.smtp, &smtp)?,
            Server::Submission => start.listener(&endpoints.submission, &submission)?,
            Server::Submissions => start.listener(&endpoints.submissions, &submission)?,
            Server::Lmtp => start.listener(&endpoints.lmtp, &lmtp)?,
            Server::Auth => start.listener(&endpoints.auth, &auth)?,
            Server::Imap => start.listener(&endpoints.imap, &imap)?,
            Server::Imaps => start.listener(&endpoints.imaps, &imap)?,
            Server::Pop3 => start.listener(&endpoints.pop3, &imap)?,
            Server::Pop3s => start.listener(&endpoints.pop3s, &imap)?,
            Server::Http => start.listener(&endpoints.http, &http)?,
            Server::Https => start.listener(&endpoints.https, &http)?,
        }
    }
    Ok(())
}

struct Start<'a> {
    server: Server,
    socket: Bound,
    tasks: &'a TaskTracker,
    shutdown: &'a Shutdown,
}

impl Start<'_> {
    fn listener<S: Service>(self, endpoint: &Arc<ArcSwap<Endpoint<S>>>, slots: &Slots) -> anyhow::Result<()> {
        let listener = Listener::new(self.server.name(), self.socket, endpoint.clone(), slots.clone())?;
        self.tasks.spawn(listener.run(self.tasks.clone(), self.shutdown.clone()));
        Ok(())
    }
}
