//! What is sent: messages made, and where asked for signed, before the clock starts.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;
use kings_mail::date::DateTime;
use kings_mail::domain::Domain;
use kings_msgauth::dkim::{PrivateKey, Rules, Selector, Signer, SigningIdentity};

use crate::Options;

/// Different messages at most; a longer run sends them again.
const DIFFERENT: usize = 500;

/// The messages of a run, each with its final dot.
pub(crate) struct Messages(Vec<Vec<u8>>);

impl Messages {
    pub(crate) fn make(options: &Options) -> anyhow::Result<Self> {
        let signing = options.sign_key.as_deref().map(|file| Signing::read(file, options)).transpose()?;
        let message = |number| {
            let text = text(options, number)?;
            let field = signing.as_ref().map_or(Ok(String::new()), |signing| signing.field(&text))?;
            Ok((field + &text + ".\r\n").into_bytes())
        };
        let messages = (0..options.messages.clamp(1, DIFFERENT)).map(message);
        Ok(Self(messages.collect::<anyhow::Result<_>>()?))
    }

    /// The content of the message with this number.
    pub(crate) fn content(&self, number: usize) -> &[u8] {
        self.0.get(number % self.0.len()).map_or(b".\r\n", Vec::as_slice)
    }
}

/// A key, and whose it is.
struct Signing {
    domain: Domain,
    selector: Selector,
    key: PrivateKey,
}

impl Signing {
    fn read(file: &Path, options: &Options) -> anyhow::Result<Self> {
        let (_, domain) = options.from.rsplit_once('@').context("--from has no domain")?;
        let pem = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Self {
            domain: Domain::parse(domain)?,
            selector: Selector::parse(&options.selector).context("that is no selector")?,
            key: PrivateKey::from_pem(&pem)?,
        })
    }

    fn field(&self, text: &str) -> anyhow::Result<String> {
        let mut signer = Signer::new(Rules::default());
        signer.push(text.as_bytes());
        let identity =
            SigningIdentity { domain: &self.domain, selector: &self.selector, key: &self.key, agent: None };
        Ok(signer.finish(&[identity], DateTime::from_unix(SIGNED))?)
    }
}

/// `t=` of the signatures: before any run.
const SIGNED: i64 = 1_763_900_000;

fn text(Options { from, recipient, size, .. }: &Options, number: usize) -> anyhow::Result<String> {
    let recipient = recipient.replace("{}", &number.to_string());
    let mut text = format!(
        "From: {from}\r\nTo: {recipient}\r\nSubject: bench {number}\r\n\
         Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{number}@bench.example>\r\n\r\n"
    );
    while text.len() < *size {
        writeln!(text, "{:072}\r", text.len())?;
    }
    Ok(text)
}
