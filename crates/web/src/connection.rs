//! One HTTP connection: bounded in time, in requests and in what is read of each.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use kings_net::Connection;
use tokio::time::timeout;
use tracing::debug;

use crate::answer::{Answer, refusal};

/// Longest wait for the header of a request, between two requests as well.
const HEADER: Duration = Duration::from_secs(10);
/// The same when slots are short.
const HEADER_PRESSED: Duration = Duration::from_secs(3);
/// Longest wait for a body.
const BODY: Duration = Duration::from_secs(10);
/// Longest life of a connection: what is served here is small.
const LIFE: Duration = Duration::from_mins(2);
/// Room for the header of a request, in octets.
const MAX_HEADER: usize = 16 * 1024;
/// Most fields of one.
const MAX_FIELDS: usize = 64;
/// Largest body that is read, in octets: Outlook's questions have a few hundred.
const MAX_BODY: usize = 64 * 1024;
/// Most octets of a body that are read at all.
const MAX_DISCARDED: usize = 1024 * 1024;

/// Answers the requests of a connection one after the other until it ends.
pub(crate) async fn serve<F, A>(connection: Connection, answer: F)
where
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = Answer>,
{
    let header = if connection.pressed() { HEADER_PRESSED } else { HEADER };
    let (peer, shutdown) = (connection.peer, connection.shutdown.clone());
    // The connection itself stays here: its slot goes when this is over.
    let Connection { stream, .. } = connection;
    let service = service_fn(|request| {
        let answer = answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header)
        .max_buf_size(MAX_HEADER)
        .max_headers(MAX_FIELDS)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    let ended = timeout(LIFE, async {
        tokio::select! {
            ended = &mut served => return ended,
            () = shutdown.cancelled() => served.as_mut().graceful_shutdown(),
        }
        served.await
    });
    match ended.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%peer, %error, "HTTP connection broke"),
        Err(_) => debug!(%peer, "HTTP connection took too long"),
    }
}

/// The whole body of a request, or the answer to one that is too large, too slow or broken.
pub(crate) async fn body(request: Request<Incoming>) -> Result<Bytes, Answer> {
    match timeout(BODY, collect(request.into_body())).await {
        Ok(Ok(Some(whole))) => Ok(whole.into()),
        Ok(Ok(None)) => Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, "A request may have 64 KB.")),
        Ok(Err(_)) => Err(refusal(StatusCode::BAD_REQUEST, "The request broke off.")),
        Err(_) => Err(refusal(StatusCode::REQUEST_TIMEOUT, "The request took too long.")),
    }
}

/// `None` where it is too large. Some more of it is read then and thrown away: an answer before a client has done sending is
/// lost in the reset of its connection.
async fn collect(mut body: Incoming) -> hyper::Result<Option<Vec<u8>>> {
    let (mut whole, mut length) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        length += data.len();
        if length <= MAX_BODY {
            whole.extend_from_slice(&data);
        } else if length > MAX_DISCARDED {
            break;
        }
    }
    Ok((length <= MAX_BODY).then_some(whole))
}
