//! Accepts connections: slots, PROXY header, TLS from the first byte, then the service.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use rustls::ServerConfig;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::Shutdown;
use crate::memory::Memory;
use crate::place::Bound;
use crate::proxy::{self, Header};
use crate::rate::Rate;
use crate::slots::{Full, Share, Slot, Slots};
use crate::stream::Stream;

/// Time for PROXY header and TLS handshake together; both are the client's first words.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// The same when slots are short.
const HANDSHAKE_PRESSED: Duration = Duration::from_secs(10);
/// Wait after an accept that failed for want of file descriptors or memory, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections of one kind that are served however short memory is, so that operators and a few clients get through.
const ALWAYS: usize = 4;
/// Longest time the "too many connections" line may take to leave.
const REFUSAL: Duration = Duration::from_secs(2);

/// A client that has got through: its socket, who it is, and what it must heed.
#[derive(Debug)]
pub struct Connection {
    /// The socket, under TLS already where the listener says so.
    pub stream: Stream,
    /// The client, as the PROXY header says where there is one. Never an IPv4-mapped address; loopback with port 0
    /// behind a socket file.
    pub peer: SocketAddr,
    /// Our side of the connection.
    pub local: SocketAddr,
    /// Whether connection and rate limits are lifted for this client.
    pub exempt: bool,
    /// Cancelled when the server drains: finish what was acknowledged, say goodbye, close.
    pub shutdown: Shutdown,
    load: Load,
    _slot: Slot,
}

/// How full the listener is.
#[derive(Clone, Debug)]
struct Load {
    slots: Slots,
    most: usize,
}

impl Connection {
    /// Whether more than 80% of the listener's slots are taken: deadlines shrink then.
    pub fn pressed(&self) -> bool {
        self.load.slots.pressed(self.load.most)
    }
}

/// What runs behind a listener.
pub trait Service: Send + Sync + 'static {
    /// Serves one connection to its end.
    fn serve(&self, connection: Connection) -> impl Future<Output = ()> + Send;

    /// What a client hears in clear that comes while all slots are taken, or too often.
    fn busy(&self) -> &'static [u8];

    /// Why a client is not heard at all because of what it did before: the line it is told in clear. Not
    /// asked for a client that is exempt.
    fn turn_away(&self, _client: IpAddr) -> Option<&'static [u8]> {
        None
    }
}

/// Who may connect, and how many at once.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Peers that must open with a PROXY header.
    pub proxy_from: Vec<IpNet>,
    /// Clients without connection and rate limits.
    pub exempt: Vec<IpNet>,
    /// Most connections in all.
    pub connections: usize,
    /// Most connections from one address (IPv4) or /64 (IPv6).
    pub connections_per_address: usize,
    /// New connections from one address or /64.
    pub arrivals_per_address: Rate,
    /// What the process may take.
    pub memory: Memory,
}

impl Guard {
    /// One of the slots, unless all are taken or memory is short.
    fn slot(&self, slots: &Slots) -> Result<Slot, Full> {
        if slots.open() >= ALWAYS && self.memory.is_short() {
            return Err(Full::Memory);
        }
        slots.take(self.connections)
    }
}

/// A service with everything a listener needs to know of it. A reload swaps the whole value.
#[derive(Debug)]
pub struct Endpoint<S> {
    /// What runs behind the listener.
    pub service: S,
    /// TLS from the first byte, with these settings.
    pub tls: Option<Arc<ServerConfig>>,
    /// Who may connect.
    pub guard: Guard,
}

/// One bound address and the service behind it.
pub struct Listener<S> {
    name: &'static str,
    socket: Socket,
    endpoint: Arc<ArcSwap<Endpoint<S>>>,
    slots: Slots,
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Socket {
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(socket) => socket.accept().await.map(|(stream, peer)| Accepted::Tcp(stream, peer)),
            Self::Unix(socket) => socket.accept().await.map(|(stream, _)| Accepted::Unix(stream)),
        }
    }
}

impl<S: Service> Listener<S> {
    /// Takes over a socket of [`crate::bind`]; must be called inside the runtime. `slots` is shared by all
    /// listeners of one kind, so that two addresses do not double the limits.
    pub fn new(
        name: &'static str,
        socket: Bound,
        endpoint: Arc<ArcSwap<Endpoint<S>>>,
        slots: Slots,
    ) -> io::Result<Self> {
        let socket = match socket {
            Bound::Tcp(socket) => Socket::Tcp(TcpListener::from_std(socket)?),
            Bound::Unix(socket) => Socket::Unix(UnixListener::from_std(socket)?),
        };
        Ok(Self { name, socket, endpoint, slots })
    }

    /// Accepts until `shutdown`; every connection becomes a task of `tasks`.
    pub async fn run(self, tasks: TaskTracker, shutdown: Shutdown) {
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok(Accepted::Tcp(socket, peer)) => self.admit(socket, peer, &tasks, &shutdown),
                Ok(Accepted::Unix(socket)) => self.admit_local(socket, &tasks, &shutdown),
                Err(error) => {
                    warn!(listener = self.name, %error, "cannot accept connections, will try again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, socket: TcpStream, peer: SocketAddr, tasks: &TaskTracker, shutdown: &Shutdown) {
        let (name, shutdown, endpoint) = (self.name, shutdown.clone(), self.endpoint.load_full());
        let load = Load { slots: self.slots.clone(), most: endpoint.guard.connections };
        let slot = endpoint.guard.slot(&self.slots);
        tasks.spawn(async move {
            let slot = match slot {
                Ok(slot) => slot,
                Err(full) => {
                    debug!(listener = name, %peer, ?full, "refused: no room for another connection");
                    return refuse(socket, &endpoint, endpoint.service.busy()).await;
                }
            };
            let Ok(local) = socket.local_addr() else { return };
            let arrival =
                Arrival { socket, peer: canonical(peer), local: canonical(local), slot, load, shutdown };
            if let Some(connection) = arrival.prepare(name, &endpoint).await {
                endpoint.service.serve(connection).await;
            }
        });
    }
}

impl<S: Service> Listener<S> {
    /// Who may open a socket file is up to its permissions: no PROXY header, no limit per address, no TLS.
    fn admit_local(&self, socket: UnixStream, tasks: &TaskTracker, shutdown: &Shutdown) {
        let (shutdown, endpoint) = (shutdown.clone(), self.endpoint.load_full());
        let load = Load { slots: self.slots.clone(), most: endpoint.guard.connections };
        let slot = endpoint.guard.slot(&self.slots);
        tasks.spawn(async move {
            let Ok(slot) = slot else { return refuse(socket, &endpoint, endpoint.service.busy()).await };
            let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let stream = Stream::Unix(socket);
            let connection =
                Connection { stream, peer: here, local: here, exempt: true, shutdown, load, _slot: slot };
            endpoint.service.serve(connection).await;
        });
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// A socket on its way to becoming a [`Connection`].
struct Arrival {
    socket: TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
    slot: Slot,
    load: Load,
    shutdown: Shutdown,
}

impl Arrival {
    /// PROXY header, count per address, TLS: in this order. `None` when one of them ends it.
    async fn prepare<S: Service>(mut self, name: &'static str, endpoint: &Endpoint<S>) -> Option<Connection> {
        // Replies are written whole, so waiting to fill a segment only adds 40 ms to each of them.
        let _ = self.socket.set_nodelay(true);
        let pressed = self.load.slots.pressed(self.load.most);
        let deadline = Instant::now() + if pressed { HANDSHAKE_PRESSED } else { HANDSHAKE };

        if covers(&endpoint.guard.proxy_from, self.peer.ip()) && !self.read_proxy_header(deadline).await {
            debug!(listener = name, peer = %self.peer, "closed: no valid PROXY header");
            return None;
        }
        let exempt = covers(&endpoint.guard.exempt, self.peer.ip());
        if let Some(line) = self.unwelcome(name, endpoint, exempt) {
            refuse(self.socket, endpoint, line).await;
            return None;
        }
        let Self { socket, peer, local, slot, load, shutdown } = self;
        let stream = match &endpoint.tls {
            None => Stream::Plain(socket),
            Some(config) => match secure(socket, config.clone(), deadline).await {
                Ok(stream) => stream,
                Err(error) => {
                    debug!(listener = name, %peer, %error, "TLS handshake failed");
                    return None;
                }
            },
        };
        Some(Connection { stream, peer, local, exempt, shutdown, load, _slot: slot })
    }

    /// Counts the connection on its client; the line for one that has had its share.
    fn unwelcome<S: Service>(
        &mut self,
        name: &'static str,
        endpoint: &Endpoint<S>,
        exempt: bool,
    ) -> Option<&'static [u8]> {
        let (peer, guard) = (self.peer.ip(), &endpoint.guard);
        let share = Share { open: guard.connections_per_address, arrivals: guard.arrivals_per_address };
        let share = if exempt { Share::UNLIMITED } else { share };
        if let Err(full) = self.slot.book(peer, share, std::time::Instant::now()) {
            debug!(listener = name, %peer, ?full, "refused: connections from this address");
            return Some(endpoint.service.busy());
        }
        let line = if exempt { None } else { endpoint.service.turn_away(peer) };
        if line.is_some() {
            debug!(listener = name, %peer, "refused: too many errors from this address");
        }
        line
    }

    /// Takes client and server address from the header; false when there is no valid one in time.
    async fn read_proxy_header(&mut self, deadline: Instant) -> bool {
        match timeout_at(deadline, proxy::read_header(&mut self.socket)).await {
            Ok(Ok(Header::Local)) => {}
            Ok(Ok(Header::Proxied { client, server })) => {
                (self.peer, self.local) = (canonical(client), canonical(server));
            }
            Ok(Err(_)) | Err(_) => return false,
        }
        true
    }
}

async fn secure(socket: TcpStream, config: Arc<ServerConfig>, deadline: Instant) -> io::Result<Stream> {
    timeout_at(deadline, Stream::Plain(socket).accept_tls(config)).await?
}

/// Tells a client in clear why it is not heard; under TLS the close must do.
async fn refuse<S>(mut socket: impl AsyncWrite + Unpin, endpoint: &Endpoint<S>, line: &[u8]) {
    if endpoint.tls.is_none() {
        let _ = timeout(REFUSAL, socket.write_all(line)).await;
        let _ = timeout(REFUSAL, socket.shutdown()).await;
    }
}

/// Whether one of the networks holds the address.
fn covers(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}
