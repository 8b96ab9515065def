//! `kings self-test`: a message through the running server and back, and whether its signature holds.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use kings_dns::Zone;
use kings_mail::address::Address;
use kings_mail::date::DateTime;
use kings_mail::domain::DnsName;
use kings_msgauth::dkim::{self, Verdict, key_files};
use serde_json::{Value, json};

use super::{Common, Failure, ask, print};
use crate::config::{Settings, Threads};
use crate::control::Request;
use crate::serve;

#[derive(Args)]
pub(crate) struct Options {
    /// The account that writes to itself; default: the first one.
    #[arg(long, value_parser = |text: &str| Address::parse(text).map_err(|error| error.to_string()))]
    account: Option<Address>,
    /// Leave the message in the inbox.
    #[arg(long)]
    keep: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

/// What has come out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tested {
    pub(crate) account: String,
    /// What was done, with the milliseconds since the start.
    pub(crate) steps: Vec<(String, u64)>,
    pub(crate) signature: Signature,
}

/// What became of the signature, judged with our own public keys: whether they are in DNS is another question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Signature {
    /// The selectors of those that hold.
    Holds(Vec<String>),
    /// There is no key for the domain.
    NoKey,
    /// There are keys, and no signature that holds.
    Fails,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let settings = options.common.settings()?;
    let config = options.common.config.display();
    let tested = test(&settings, options.account.as_ref(), options.keep)?.ok_or_else(|| {
        Failure::check_failed(format!(
            "the server does not run; start it with: kings serve --config {config}"
        ))
    })?;
    print(&if options.json { format!("{}\n", tested.to_json()) } else { tested.describe() });
    match tested.signature {
        Signature::Holds(_) => Ok(()),
        Signature::NoKey | Signature::Fails => Err(Failure::check_failed("")),
    }
}

/// Asks the server to test itself; `None` where none runs.
pub(crate) fn test(
    settings: &Settings,
    account: Option<&Address>,
    keep: bool,
) -> Result<Option<Tested>, Failure> {
    let request = Request::SelfTest { account: account.map(ToString::to_string), keep };
    let Some(answer) = ask(&settings.data_dir, &request)? else { return Ok(None) };
    let answer = answer.map_err(Failure::check_failed)?;
    let unclear = || Failure::cannot_tell("the server's answer is not understood: is it of another version?");
    let account = answer["account"].as_str().ok_or_else(unclear)?;
    let content = answer["content"].as_str().and_then(|text| kings_sasl::decode(text.as_bytes()).ok());
    let content = content.ok_or_else(unclear)?;
    let step = |step: &Value| Some((step["step"].as_str()?.to_owned(), step["ms"].as_u64()?));
    let steps = answer["steps"].as_array().into_iter().flatten().filter_map(step).collect();
    let address = Address::parse(account).map_err(|_| unclear())?;
    let signature = signature(settings, &address, &content)?;
    Ok(Some(Tested { account: account.to_owned(), steps, signature }))
}

fn signature(settings: &Settings, account: &Address, content: &[u8]) -> Result<Signature, Failure> {
    let Some(domain) = account.domain() else { return Ok(Signature::NoKey) };
    let files = crate::dkim::key_files(&settings.data_dir, domain);
    let files = files.map_err(|error| Failure::config(format!("{error:#}")))?;
    if files.is_empty() {
        return Ok(Signature::NoKey);
    }
    let mut zone = Zone::default();
    for file in &files {
        if let Ok(name) = DnsName::parse(&format!("{}._domainkey.{domain}", file.selector)) {
            zone = zone.with_txt(name, key_files::record(&file.key));
        }
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = DateTime::from_unix(i64::try_from(now).unwrap_or(0));
    let report = serve::runtime(Threads::default())?.block_on(dkim::check(content, &zone, now));
    let good = report.signatures.iter().filter(|checked| matches!(checked.verdict, Verdict::Valid { .. }));
    let selectors: Vec<String> =
        good.filter_map(|checked| Some(checked.claim.as_ref()?.selector.to_string())).collect();
    Ok(if selectors.is_empty() { Signature::Fails } else { Signature::Holds(selectors) })
}

impl Tested {
    /// For programs.
    pub(crate) fn to_json(&self) -> Value {
        let steps: Vec<Value> =
            self.steps.iter().map(|(step, ms)| json!({ "step": step, "ms": ms })).collect();
        let (state, selectors) = match &self.signature {
            Signature::Holds(selectors) => ("pass", selectors.clone()),
            Signature::NoKey => ("none", Vec::new()),
            Signature::Fails => ("fail", Vec::new()),
        };
        json!({
            "schema": 1, "account": self.account, "steps": steps,
            "signature": { "state": state, "selectors": selectors },
        })
    }

    fn describe(&self) -> String {
        let mut text = String::new();
        for (step, ms) in &self.steps {
            text +=
                &format!("  ok    {:>6.3} s  {step}\n", std::time::Duration::from_millis(*ms).as_secs_f64());
        }
        let domain = self.account.rsplit_once('@').map_or("", |(_, domain)| domain);
        text += &match &self.signature {
            Signature::Holds(selectors) => {
                format!("  ok              signed, and verified: {}\n", selectors.join(", "))
            }
            Signature::NoKey => {
                format!(
                    "  FAIL            not signed: {domain} has no key\n        fix: kings dkim create {domain}\n"
                )
            }
            Signature::Fails => {
                "  FAIL            its signature does not hold\n        see: kings dkim list; kings trace\n"
                    .to_owned()
            }
        };
        text
    }
}
