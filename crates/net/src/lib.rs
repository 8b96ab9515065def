//! Sockets: accept loop, limits per peer, PROXY header, TLS handshakes, the real resolver, shutdown.
