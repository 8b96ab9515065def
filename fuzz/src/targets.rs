//! The table of fuzz targets.

mod aws;
mod delegation;
mod directory;
mod dkim;
mod dmarc;
mod dns;
mod files;
mod flow;
mod imap;
mod mail;
mod milter;
mod msgauth;
mod net;
mod oauth;
mod opendkim;
mod pop3;
mod reports;
mod results;
mod sasl;
mod score;
mod smtp;
mod spf;

pub use aws::{aws_credentials, route53_sets};
pub use delegation::policy_answer;
pub use directory::{cidr_table, passwd_file, regexp_table, socketmap, system_aliases, virtual_aliases};
pub use dkim::{arc, dkim_key, dkim_message, dkim_signature};
pub use dmarc::dmarc_record;
pub use dns::dns_record;
pub use files::{acl_file, queue_entry, side_files, words_of_messages};
pub use flow::{header_checks, srs, transport};
pub use imap::{imap_command, imap_fetch, imap_session, imap_thread};
pub use mail::{address_list, header, mime, seven_bit, words};
pub use milter::{milter_packet, milter_session};
pub use msgauth::mta_sts;
pub use net::{http_request, http_response, proxy_header};
pub use oauth::{oauth_keys, oauth_token};
pub use opendkim::{opendkim_conf, opendkim_tables};
pub use pop3::pop3_session;
pub use reports::dmarc_report;
pub use results::auth_results;
pub use sasl::{auth_server, sasl_client, sasl_server};
pub use score::content_rules;
pub use smtp::{smtp_client, smtp_command, smtp_data, smtp_session};
pub use spf::{spf_check, spf_record};

use crate::{dictionary, seeds};

/// One function to feed, and what to feed it with.
pub struct Target {
    /// How the command line calls it.
    pub name: &'static str,
    /// Panics where a promise is broken.
    pub run: fn(&[u8]),
    /// Tokens for the mutator.
    pub dictionary: &'static [&'static str],
    /// Built-in inputs.
    pub seeds: &'static [&'static str],
    /// Whose transcripts are inputs as well.
    pub protocol: Option<&'static str>,
}

/// All targets, in the order in which `all` runs them.
pub const TARGETS: &[Target] = &[
    target("smtp_command", smtp_command, dictionary::SMTP, seeds::SMTP_COMMANDS),
    target("smtp_data", smtp_data, dictionary::SMTP, seeds::SMTP_SESSIONS),
    Target {
        protocol: Some("smtp"),
        ..target("smtp_session", smtp_session, dictionary::SMTP, seeds::SMTP_SESSIONS)
    },
    target("smtp_client", smtp_client, dictionary::SMTP_REPLIES, seeds::SMTP_REPLIES),
    target("imap_command", imap_command, dictionary::IMAP, seeds::IMAP_COMMANDS),
    Target {
        protocol: Some("imap"),
        ..target("imap_session", imap_session, dictionary::IMAP, seeds::IMAP_SESSIONS)
    },
    Target {
        protocol: Some("pop3"),
        ..target("pop3_session", pop3_session, dictionary::POP3, seeds::POP3_SESSIONS)
    },
    target("imap_thread", imap_thread, dictionary::MESSAGE, seeds::THREADS),
    target("imap_fetch", imap_fetch, dictionary::MESSAGE, seeds::MESSAGES),
    target("mime", mime, dictionary::MESSAGE, seeds::MESSAGES),
    target("content_rules", content_rules, dictionary::HTML, seeds::CONTENTS),
    target("seven_bit", seven_bit, dictionary::MESSAGE, seeds::MESSAGES),
    target("header", header, dictionary::MESSAGE, seeds::MESSAGES),
    target("address_list", address_list, dictionary::MESSAGE, seeds::ADDRESS_LISTS),
    target("header_checks", header_checks, dictionary::TABLES, seeds::HEADER_CHECKS),
    target("srs", srs, dictionary::MESSAGE, seeds::SRS),
    target("transport", transport, dictionary::TABLES, seeds::TRANSPORTS),
    target("cidr_table", cidr_table, dictionary::TABLES, seeds::CIDR_TABLES),
    target("regexp_table", regexp_table, dictionary::TABLES, seeds::REGEXP_TABLES),
    target("system_aliases", system_aliases, dictionary::TABLES, seeds::SYSTEM_ALIASES),
    target("socketmap", socketmap, dictionary::TABLES, seeds::SOCKETMAP),
    target("dns_record", dns_record, dictionary::DNS_RECORD, seeds::DNS_RECORDS),
    target("route53_sets", route53_sets, dictionary::ROUTE53, seeds::ROUTE53),
    target("aws_credentials", aws_credentials, dictionary::AWS, seeds::AWS),
    target("mta_sts", mta_sts, dictionary::MTA_STS, seeds::MTA_STS),
    target("spf_record", spf_record, dictionary::SPF, seeds::SPF_RECORDS),
    target("spf_check", spf_check, dictionary::SPF, seeds::SPF_ZONES),
    target("dkim_signature", dkim_signature, dictionary::DKIM, seeds::DKIM_SIGNATURES),
    target("dkim_key", dkim_key, dictionary::DKIM, seeds::DKIM_KEYS),
    target("dkim_message", dkim_message, dictionary::DKIM, seeds::DKIM_MESSAGES),
    target("opendkim_conf", opendkim_conf, dictionary::OPENDKIM, seeds::OPENDKIM_CONF),
    target("opendkim_tables", opendkim_tables, dictionary::OPENDKIM, seeds::OPENDKIM_TABLES),
    target("arc", arc, dictionary::ARC, seeds::ARC),
    target("dmarc_record", dmarc_record, dictionary::DMARC, seeds::DMARC_RECORDS),
    target("auth_results", auth_results, dictionary::AUTH_RESULTS, seeds::AUTH_RESULTS),
    target("dmarc_report", dmarc_report, dictionary::REPORTS, seeds::REPORTS),
    target("words", words, dictionary::MESSAGE, seeds::WORDS),
    target("milter_packet", milter_packet, dictionary::MILTER, seeds::MILTER),
    target("milter_session", milter_session, dictionary::MILTER, seeds::MILTER),
    target("policy_answer", policy_answer, dictionary::POLICY, seeds::POLICY_ANSWERS),
    target("oauth_token", oauth_token, dictionary::OAUTH, seeds::OAUTH_TOKENS),
    target("oauth_keys", oauth_keys, dictionary::OAUTH, seeds::OAUTH_KEYS),
    target("proxy_header", proxy_header, dictionary::PROXY, seeds::PROXY_HEADERS),
    target("http_response", http_response, dictionary::HTTP, seeds::HTTP_RESPONSES),
    target("http_request", http_request, dictionary::HTTP_REQUEST, seeds::HTTP_REQUESTS),
    target("queue_entry", queue_entry, dictionary::QUEUE, seeds::QUEUE_ENTRIES),
    target("side_files", side_files, dictionary::SIDE_FILES, seeds::SIDE_FILES),
    target("acl_file", acl_file, dictionary::ACL_FILES, seeds::ACL_FILES),
    target("words_of_messages", words_of_messages, dictionary::WORDS_OF_MESSAGES, seeds::WORDS_OF_MESSAGES),
    target("auth_server", auth_server, dictionary::AUTH, seeds::AUTH),
    target("sasl_server", sasl_server, dictionary::SASL, seeds::SASL),
    target("sasl_client", sasl_client, dictionary::SASL, seeds::SASL),
    target("passwd_file", passwd_file, dictionary::ACCOUNTS, seeds::PASSWD_FILES),
    target("virtual_aliases", virtual_aliases, dictionary::ACCOUNTS, seeds::VIRTUAL_ALIASES),
];

const fn target(
    name: &'static str,
    run: fn(&[u8]),
    dictionary: &'static [&'static str],
    seeds: &'static [&'static str],
) -> Target {
    Target { name, run, dictionary, seeds, protocol: None }
}

/// How an input reaches a session: the answers must not depend on it.
#[derive(Clone, Copy)]
pub(crate) enum Cut {
    Whole,
    Lines,
    Octets,
}

impl Cut {
    pub(crate) fn pieces(self, data: &[u8]) -> impl Iterator<Item = &[u8]> {
        let mut rest = data;
        std::iter::from_fn(move || {
            let line = || rest.iter().position(|&octet| octet == b'\n').map_or(rest.len(), |at| at + 1);
            let length = match self {
                Self::Whole => rest.len(),
                Self::Lines => line(),
                Self::Octets => 1.min(rest.len()),
            };
            let (piece, behind) = rest.split_at(length);
            rest = behind;
            (length > 0).then_some(piece)
        })
    }
}

impl Target {
    /// The target of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Built-in inputs and transcripts.
    pub fn seeds(&self) -> Vec<Vec<u8>> {
        let built_in = self.seeds.iter().map(|seed| seed.as_bytes().to_vec());
        built_in.chain(self.protocol.map(seeds::transcripts).unwrap_or_default()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutate::{Random, mutate};

    #[test]
    fn every_seed_and_its_neighbours_keep_the_promises() {
        for target in TARGETS {
            let mut random = Random::new(1);
            for seed in target.seeds() {
                (target.run)(&seed);
                for _ in 0..100 {
                    (target.run)(&mutate(&seed, &seed, target.dictionary, &mut random));
                }
            }
        }
    }
}
