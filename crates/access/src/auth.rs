//! The socket by which a Postfix or Exim has its logins checked here, as it would by Dovecot.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use ipnet::IpNet;
use kings_directory::{ClientFacts, Directory, Login, LoginError, Origin, Progress};
use kings_net::{Connection, Service, Stream, receive};
use kings_sasl::{Asked, AuthBreach, AuthServer, Told, Turn};
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::door::FAILURE_DELAY;

/// What the log calls it.
const PROTOCOL: &str = "auth";
/// Longest time that an answer may take to leave.
const WRITE: Duration = Duration::from_secs(30);

/// The service behind `auth` listeners. Whoever may open the socket is a mail server, and is believed about where its
/// clients come from and that they are under TLS. Clones share everything.
#[derive(Clone, Debug)]
pub struct Auth(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    directory: Directory,
    /// Clients whose failures are not counted.
    exempt: Vec<IpNet>,
    connections: AtomicU64,
}

#[derive(Debug, thiserror::Error)]
enum AuthError {
    #[error(transparent)]
    Breach(#[from] AuthBreach),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("an answer could not leave for {} s", WRITE.as_secs())]
    Stuck,
}

impl Auth {
    /// Checks logins by `directory`.
    pub fn new(directory: Directory, exempt: Vec<IpNet>) -> Self {
        Self(Arc::new(Inner { directory, exempt, connections: AtomicU64::new(1) }))
    }

    async fn converse(&self, connection: &mut Connection) -> Result<(), AuthError> {
        let inner = &*self.0;
        let nowhere = inner.facts(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let names = (std::process::id(), inner.connections.fetch_add(1, Relaxed));
        let mut server = AuthServer::new(inner.directory.mechanisms(&nowhere), names, &cookie()?);
        let mut logins: HashMap<u32, Login> = HashMap::new();
        let shutdown = connection.shutdown.clone();
        loop {
            while let Some(asked) = server.next_asked()? {
                inner.hear(&mut server, &mut logins, asked).await;
                write(&mut connection.stream, &server.transmit()).await?;
            }
            logins.retain(|id, _| server.is_open(*id));
            write(&mut connection.stream, &server.transmit()).await?;
            // A mail server keeps the connection open for as long as it runs.
            let read = receive(&mut connection.stream, |octets| server.receive(octets));
            let read = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                read = read => read?,
            };
            if read == 0 {
                return Ok(());
            }
        }
    }
}

impl Inner {
    fn facts(&self, address: IpAddr) -> ClientFacts {
        let exempt = self.exempt.iter().any(|net| net.contains(&address));
        ClientFacts::new(Origin { protocol: PROTOCOL, address, exempt })
    }

    async fn hear(&self, server: &mut AuthServer, logins: &mut HashMap<u32, Login>, asked: Asked) {
        let Asked { id, turn, whence } = asked;
        if let (Turn::Begin(..), Some(whence)) = (&turn, whence) {
            let address = whence.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)).to_canonical();
            logins.insert(id, self.directory.login(self.facts(address)));
        }
        let Some(login) = logins.get_mut(&id) else {
            return server.answer(id, refused("", LoginError::Malformed));
        };
        let progress = login.take(turn).await;
        let (mechanism, name) = login.describe();
        match progress {
            Ok(Progress::Challenge(challenge)) => return server.answer(id, Told::Challenge(&challenge)),
            Ok(Progress::Done(account)) => {
                login.origin().log(name, mechanism, Ok(&account.address));
                server.answer(id, Told::Proven(&account.address.to_string()));
            }
            Err(error) => {
                login.origin().log(name, mechanism, Err(&error));
                if matches!(error, LoginError::Refused | LoginError::Closed) && !login.origin().exempt {
                    sleep(FAILURE_DELAY).await;
                }
                server.answer(id, refused(name, error));
            }
        }
        logins.remove(&id);
    }
}

/// The same for an unknown name, a wrong password and a closed account.
fn refused(login: &str, error: LoginError) -> Told<'_> {
    let (reason, temporary) = match error {
        LoginError::Refused | LoginError::Closed => ("login name or password is wrong", false),
        LoginError::Malformed => ("malformed response", false),
        LoginError::TooManyFailures => ("too many failed logins, try again in a minute", true),
        LoginError::Busy => ("too many logins at once, try again", true),
    };
    Told::Refused { login, reason, temporary }
}

/// 32 hexadecimal digits that nobody can guess.
fn cookie() -> io::Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(random)))
}

async fn write(stream: &mut Stream, octets: &[u8]) -> Result<(), AuthError> {
    if octets.is_empty() {
        return Ok(());
    }
    Ok(timeout(WRITE, stream.write_all(octets)).await.map_err(|_| AuthError::Stuck)??)
}

impl Service for Auth {
    async fn serve(&self, mut connection: Connection) {
        match self.converse(&mut connection).await {
            Ok(()) => debug!("a mail server has gone from the socket for logins"),
            Err(error) => warn!(%error, "the connection of a mail server for logins is closed"),
        }
    }

    /// The protocol has no word for it: the mail server finds the connection closed, and says 454.
    fn busy(&self) -> &'static [u8] {
        b""
    }
}
