//! The HTTPS client: a page of bounded size within a bounded time, never from a private address.

mod client;
mod error;
mod request;
mod trial;
mod url;

pub use crate::client::{Fetch, Settings};
pub use crate::error::FetchError;
pub use crate::request::{Request, Response};
pub use crate::trial::try_response;
pub use crate::url::{BadUrl, Url};
