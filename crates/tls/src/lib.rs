//! Certificates: load, reload, self-signed, and the rustls settings of servers and clients.
