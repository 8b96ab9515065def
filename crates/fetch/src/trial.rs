//! Reading an answer apart from sockets, so that any octets may be tried as one.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::client::talk;
use crate::error::FetchError;
use crate::request::{Request, Response};
use crate::url::Url;

/// Takes `octets` for all that a server says to a GET before it hangs up; `at_once` of them come at a time, and the body
/// may have `max_bytes`.
pub fn try_response(octets: &[u8], at_once: usize, max_bytes: usize) -> Result<Response, FetchError> {
    let url =
        Url::parse("https://host.example/path").map_err(|error| FetchError::BadRequest(error.to_string()))?;
    let request = Request::get(url).at_most(max_bytes);
    let server = Server { rest: octets.to_vec(), at_once, asked: false, reader: None };
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut talking = pin!(talk(&request, server));
    // It waits for nothing but this server, who answers at once: whoever is not woken would wait for ever.
    while woken.0.swap(false, Ordering::Relaxed) {
        if let Poll::Ready(result) = talking.as_mut().poll(&mut Context::from_waker(&waker)) {
            return result;
        }
    }
    Err(FetchError::TimedOut)
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// It says what it has to say as soon as it is asked anything: an answer before the request is none.
struct Server {
    rest: Vec<u8>,
    at_once: usize,
    asked: bool,
    reader: Option<Waker>,
}

impl AsyncRead for Server {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.asked {
            self.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let count = self.rest.len().min(self.at_once).min(buffer.remaining());
        buffer.put_slice(&self.rest[..count]);
        self.rest.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Server {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.asked = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_answer_is_read_whole_or_it_is_none() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        for at_once in [1, 7, usize::MAX] {
            assert_eq!(try_response(answer, at_once, 5).unwrap().body, b"hello");
            assert!(matches!(try_response(answer, at_once, 4), Err(FetchError::TooLarge(4))));
            assert!(matches!(try_response(&answer[..40], at_once, 5), Err(FetchError::Http { .. })));
            assert!(matches!(try_response(b"220 mail\r\n", at_once, 5), Err(FetchError::Http { .. })));
        }
    }
}
