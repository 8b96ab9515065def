//! SMTP: grammar, replies, server session, client session. No IO.
