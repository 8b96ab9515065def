//! What the policy service is told, in the attributes of Postfix.

use std::net::SocketAddr;

use kings_mail::path::{ForwardPath, ReversePath};

use super::DelegationError;

/// When it is asked (`protocol_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Rcpt,
    EndOfMessage,
}

/// Who speaks to us, the same for a whole transaction.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) helo: String,
    /// EHLO, not HELO.
    pub(crate) extended: bool,
    /// `TLSv1_3 TLS13_AES_256_GCM_SHA384`; `None` in clear.
    pub(crate) tls: Option<String>,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    /// The reverse name of the address, and whether it leads back to it; `None` when there is none.
    pub(crate) reverse_name: Option<(String, bool)>,
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
        let (protocol, cipher) =
            caller.tls.as_deref().and_then(|tls| tls.split_once(' ')).unwrap_or_default();
        let reverse_name = caller.reverse_name.as_ref();
        let verified = reverse_name.filter(|(_, leads_back)| *leads_back);
        let name = |found: Option<&(String, bool)>| found.map_or("unknown", |(name, _)| name).to_owned();
        let state = match self.stage {
            Stage::Rcpt => "RCPT",
            Stage::EndOfMessage => "END-OF-MESSAGE",
        };
        let mut out = Vec::with_capacity(1_024);
        for (key, value) in [
            ("request", "smtpd_access_policy".to_owned()),
            ("protocol_state", state.to_owned()),
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
            ("sasl_method", String::new()),
            ("sasl_username", String::new()),
            ("sasl_sender", String::new()),
            ("ccert_subject", String::new()),
            ("ccert_issuer", String::new()),
            ("ccert_fingerprint", String::new()),
            ("ccert_pubkey_fingerprint", String::new()),
            ("encryption_protocol", protocol.to_owned()),
            ("encryption_cipher", cipher.to_owned()),
            ("encryption_keysize", "0".to_owned()),
            ("policy_context", String::new()),
        ] {
            write_attribute(&mut out, key, &value)?;
        }
        out.push(b'\n');
        Ok(out)
    }
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
