//! What the policy service is told, in the attributes of Postfix.

use std::net::SocketAddr;

use kings_mail::path::{ForwardPath, ReversePath};
use kings_tls::ClientCertificate;

use super::{DelegationError, tls_names};

/// When it is asked (`protocol_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before the greeting.
    Connect,
    /// The client says its name.
    Ehlo,
    /// The same with the older command.
    Helo,
    /// It names the sender.
    Mail,
    /// It names a recipient that nothing else speaks against.
    Rcpt,
    /// The message wants to come.
    Data,
    /// It is there.
    EndOfMessage,
}

impl Stage {
    /// All of them, in their order.
    pub const ALL: [Self; 7] =
        [Self::Connect, Self::Ehlo, Self::Helo, Self::Mail, Self::Rcpt, Self::Data, Self::EndOfMessage];

    /// As Postfix calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Ehlo => "EHLO",
            Self::Helo => "HELO",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::EndOfMessage => "END-OF-MESSAGE",
        }
    }
}

/// Who speaks to us, the same for a whole transaction.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) helo: String,
    /// It has said EHLO, not HELO.
    pub(crate) extended: bool,
    /// `TLSv1_3 TLS13_AES_256_GCM_SHA384`; `None` in clear.
    pub(crate) tls: Option<String>,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    /// What the client has shown under TLS, where that was asked for and verified.
    pub(crate) certificate: Option<ClientCertificate>,
    /// The reverse name of the address, and whether it leads back to it; `None` when there is none.
    pub(crate) reverse_name: Option<(String, bool)>,
    pub(crate) login: Option<LoggedIn>,
    /// `AUTH=` of MAIL.
    pub(crate) submitter: Option<Box<str>>,
}

/// Who has logged in, and how.
#[derive(Clone, Debug)]
pub(crate) struct LoggedIn {
    pub(crate) mechanism: &'static str,
    pub(crate) account: String,
}

/// One question.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) stage: Stage,
    pub(crate) caller: &'a Caller,
    pub(crate) reverse_path: &'a ReversePath,
    /// The recipient in question; `None` at the end of a message for several.
    pub(crate) recipient: Option<&'a ForwardPath>,
    /// Recipients of the message; 0 while they are still being named, as in Postfix.
    pub(crate) recipient_count: usize,
    /// Octets: announced at RCPT, counted at the end.
    pub(crate) size: u64,
    /// One name for all questions about one transaction.
    pub(crate) instance: &'a str,
    /// The name of the message; empty as long as it has none.
    pub(crate) id: &'a str,
}

impl Request<'_> {
    /// The wire form: one attribute a line, then an empty line.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, DelegationError> {
        let caller = self.caller;
        let sender = self.reverse_path.address().map(ToString::to_string).unwrap_or_default();
        let recipient = self.recipient.map(bare).unwrap_or_default();
        let (protocol, cipher, key_bits) = tls_names::told(caller.tls.as_deref());
        let login = caller.login.as_ref();
        let certificate = caller.certificate.clone().unwrap_or_default();
        let reverse_name = caller.reverse_name.as_ref();
        let verified = reverse_name.filter(|(_, leads_back)| *leads_back);
        let name = |found: Option<&(String, bool)>| found.map_or("unknown", |(name, _)| name).to_owned();
        let mut out = Vec::with_capacity(1_024);
        for (key, value) in [
            ("request", "smtpd_access_policy".to_owned()),
            ("protocol_state", self.stage.name().to_owned()),
            ("protocol_name", if caller.extended { "ESMTP" } else { "SMTP" }.to_owned()),
            ("client_address", caller.peer.ip().to_string()),
            ("client_name", name(verified)),
            ("client_port", caller.peer.port().to_string()),
            ("reverse_client_name", name(reverse_name)),
            ("server_address", caller.local.ip().to_string()),
            ("server_port", caller.local.port().to_string()),
            ("helo_name", caller.helo.clone()),
            ("sender", sender),
            ("recipient", recipient),
            ("recipient_count", self.recipient_count.to_string()),
            ("queue_id", self.id.to_owned()),
            ("instance", self.instance.to_owned()),
            ("size", self.size.to_string()),
            ("etrn_domain", String::new()),
            ("stress", String::new()),
            ("sasl_method", login.map(|login| login.mechanism.to_owned()).unwrap_or_default()),
            ("sasl_username", login.map(|login| login.account.clone()).unwrap_or_default()),
            ("sasl_sender", caller.submitter.as_deref().unwrap_or_default().to_owned()),
            ("ccert_subject", as_xtext(&certificate.subject)),
            ("ccert_issuer", as_xtext(&certificate.issuer)),
            ("ccert_fingerprint", certificate.fingerprint.clone()),
            ("ccert_pubkey_fingerprint", certificate.key_fingerprint.clone()),
            ("encryption_protocol", protocol),
            ("encryption_cipher", cipher),
            ("encryption_keysize", key_bits.to_string()),
            ("policy_context", String::new()),
        ] {
            write_attribute(&mut out, key, &value)?;
        }
        out.push(b'\n');
        Ok(out)
    }
}

/// Names of certificates may hold anything; Postfix tells them in xtext (RFC 3461 §4).
fn as_xtext(name: &str) -> String {
    let plain = |octet: &u8| octet.is_ascii_graphic() && *octet != b'+';
    let octets = name.as_bytes().iter();
    octets
        .map(|octet| if plain(octet) { char::from(*octet).to_string() } else { format!("+{octet:02X}") })
        .collect()
}

/// The address alone, without the brackets that SMTP puts around it.
fn bare(path: &ForwardPath) -> String {
    match path {
        ForwardPath::Postmaster => "postmaster".to_owned(),
        ForwardPath::Address(address) => address.to_string(),
    }
}

/// A line end in a value would be an attribute of the client's choice.
fn write_attribute(out: &mut Vec<u8>, key: &str, value: &str) -> Result<(), DelegationError> {
    if value.contains(char::is_control) {
        return Err(DelegationError::BadValue);
    }
    out.extend_from_slice(format!("{key}={value}\n").as_bytes());
    Ok(())
}
