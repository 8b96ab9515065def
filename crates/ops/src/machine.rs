//! What machine this is, as far as mail depends on it: the cloud it runs in, whether mail can leave, who else serves it.

mod cloud;
mod outbound;
mod service;

pub use self::cloud::{Cloud, cloud, role_key};
pub use self::outbound::{Outbound, outbound, port_25_request};
pub use self::service::{Detached, Elsewhere, ServiceError, ServiceManager, Systemd, system_name};
