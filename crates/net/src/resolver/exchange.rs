//! Connections to name servers: the AD bit is asked for, and what a datagram cannot hold is fetched by TCP, once.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, ProtocolConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::tcp::TcpClientStream;
use hickory_resolver::net::xfer::{DnsExchange, DnsHandle, DnsResponseStream, FirstAnswer};
use hickory_resolver::proto::op::{DnsRequest, DnsResponse};
use hickory_resolver::{ConnectionProvider, PoolContext};
use tracing::debug;

use super::aliases;

/// Makes the connections.
#[derive(Clone, Default)]
pub(super) struct Connections(TokioRuntimeProvider);

/// One connection.
#[derive(Clone)]
pub(super) struct Exchange {
    inner: DnsExchange<TokioRuntimeProvider>,
    /// For one by datagrams: where the same server answers at length.
    at_length: Option<AtLength>,
}

/// The same server by TCP.
#[derive(Clone)]
struct AtLength {
    server: SocketAddr,
    timeout: Duration,
    provider: TokioRuntimeProvider,
}

impl ConnectionProvider for Connections {
    type Conn = Exchange;
    type FutureConn = Pin<Box<dyn Future<Output = Result<Exchange, NetError>> + Send>>;
    type RuntimeProvider = TokioRuntimeProvider;

    fn new_connection(
        &self,
        ip: IpAddr,
        config: &ConnectionConfig,
        cx: &PoolContext,
    ) -> Result<Self::FutureConn, NetError> {
        let at_length = matches!(config.protocol, ProtocolConfig::Udp).then(|| AtLength {
            server: SocketAddr::new(ip, config.port),
            timeout: cx.options.timeout,
            provider: self.0.clone(),
        });
        let connecting = self.0.new_connection(ip, config, cx)?;
        Ok(Box::pin(async { Ok(Exchange { inner: connecting.await?, at_length }) }))
    }

    fn runtime_provider(&self) -> &TokioRuntimeProvider {
        &self.0
    }
}

impl DnsHandle for Exchange {
    type Response = DnsResponseStream;
    type Runtime = TokioRuntimeProvider;

    /// A resolver sets the AD bit only for who shows an interest (RFC 6840 §5.7).
    ///
    /// A truncated answer must not come to the pool of servers: of two that it asks at once it takes the second such
    /// answer for one that came by TCP, gives up, and asks all of it again, so that a large record would never be found.
    fn send(&self, mut request: DnsRequest) -> DnsResponseStream {
        request.metadata.authentic_data = true;
        let Self { inner, at_length } = self.clone();
        let asking = async move {
            aliases::may_ask(&request)?;
            let answer = inner.send(request.clone()).first_answer().await?;
            let answer = match at_length {
                Some(at_length) if answer.truncation => at_length.ask(request.clone()).await?,
                _ => answer,
            };
            aliases::note(&request, &answer);
            Ok(answer)
        };
        Box::pin(asking).into()
    }
}

impl AtLength {
    /// Asks by TCP (RFC 7766 §5). Where that leads to nothing the server is as good as away: any other error would make
    /// the resolver begin again with a datagram.
    async fn ask(self, request: DnsRequest) -> Result<DnsResponse, NetError> {
        let Self { server, timeout, provider } = self;
        let asking = async {
            let stream = TcpClientStream::exchange(server, None, timeout, None, provider).await?;
            stream.send(request).first_answer().await
        };
        match asking.await {
            Ok(answer) if !answer.truncation => return Ok(answer),
            Ok(_) => debug!(%server, "an answer is cut off by TCP as well"),
            Err(error) => debug!(%server, %error, "an answer too large for a datagram cannot be had by TCP"),
        }
        Err(NetError::NoConnections)
    }
}
