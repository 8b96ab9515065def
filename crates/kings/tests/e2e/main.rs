//! Real programs against the real binary, each in its own test.
//!
//! The programs come from `tests/setup.sh` and `tests/parts.sh`. One that is missing fails its test with the command
//! that installs it. Everything listens on the loopback address, on ports chosen for the test.
#![allow(clippy::unwrap_used, reason = "tests")]

mod account;
mod aggregate_reports;
mod alpn;
mod arc;
mod at_rcpt;
mod authenticate;
mod channel_binding;
mod check_message;
mod chunking;
mod corpus;
mod crash;
mod curl;
mod dead_hosts;
mod delegation;
mod disk;
mod dkim;
mod dovecot;
mod exchange;
mod external;
mod faults;
mod filter;
mod foreign_senders;
mod forgeries;
mod forwarding;
mod greylist;
mod guessing;
mod harness;
mod hostile;
mod house_rules;
mod lists;
mod lmtp;
mod log;
mod logins;
mod mbsync;
mod milters;
mod mutt;
mod name_servers;
mod oauth;
mod open_files;
mod open_relay;
mod opendkim_files;
mod outbound_tls;
mod peers;
mod pop3;
mod postfix;
mod proxy;
mod queue;
mod recipients;
mod relayed;
mod report_upload;
mod reports;
mod routes;
mod seam;
mod senders;
mod sendmail;
mod smart_host;
mod smuggling;
mod submit;
mod swaks;
mod thunderbird;
mod trust;
mod virtual_aliases;
