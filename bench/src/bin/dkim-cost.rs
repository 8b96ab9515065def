//! What DKIM costs a message of 4 KB beyond the RSA operation itself: `cargo run --release -p kings-bench --bin dkim-cost`.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use kings_dns::Zone;
use kings_mail::date::DateTime;
use kings_mail::domain::{DnsName, Domain};
use kings_msgauth::dkim::{PrivateKey, Rules, Selector, Signer, SigningIdentity, Word, check, key_files};

/// Octets of the message.
const SIZE: usize = 4 * 1024;
/// Runs of one round, and rounds; the fastest round counts, the others were disturbed.
const RUNS: u32 = 200;
const ROUNDS: u32 = 25;
/// What issue and design allow for verifying beyond the RSA operation.
const MOST: Duration = Duration::from_micros(300);

fn fastest(mut work: impl FnMut()) -> Duration {
    let round = |_| {
        let start = Instant::now();
        (0..RUNS).for_each(|_| work());
        start.elapsed() / RUNS
    };
    (0..ROUNDS).map(round).min().unwrap_or_default()
}

fn message() -> String {
    let header = "Received: from mail.example.net by mx.example.org with ESMTPS; Sun, 22 Nov 2026 10:00:00 +0000\r\n\
        From: Ann <ann@example.org>\r\nTo: bob@example.net\r\nSubject: The minutes of Tuesday\r\n\
        Date: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.org>\r\nMIME-Version: 1.0\r\n\
        Content-Type: text/plain; charset=utf-8\r\n\r\n";
    let line = "Dear all, these are the minutes, with a word  or two about the rest.\r\n";
    let lines = (SIZE - header.len()) / line.len();
    format!("{header}{}", line.repeat(lines))
}

fn main() -> anyhow::Result<()> {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).ok().context("no RSA key")?;
    let der: Pkcs8V1Der<'_> = pair.as_der().ok().context("no DER")?;
    let key = PrivateKey::from_pkcs8(der.as_ref())?;
    let (domain, selector) = (Domain::parse("example.org")?, Selector::parse("s").context("no selector")?);
    let identities = [SigningIdentity { domain: &domain, selector: &selector, key: &key, agent: None }];
    let zone = Zone::default().with_txt(DnsName::parse("s._domainkey.example.org")?, key_files::record(&key));
    let now = DateTime::from_unix(1_790_000_000);
    let message = message();

    let hash = digest(&SHA256, message.as_bytes());
    let mut signature = vec![0; pair.public_modulus_len()];
    let rsa_sign = fastest(|| {
        let _ = pair.sign_digest(&RSA_PKCS1_SHA256, &hash, &mut signature);
    });
    let public = pair.public_key().as_ref().to_vec();
    let rsa_verify = fastest(|| {
        let _ = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &public).verify_digest(&hash, &signature);
    });

    let fields = |message: &str| {
        let mut signer = Signer::new(Rules::default());
        signer.push(message.as_bytes());
        signer.finish(&identities, now)
    };
    let signed = fields(&message)? + &message;
    let sign = fastest(|| drop(fields(&message)));
    let report = ready(check(signed.as_bytes(), &zone, now)).context("the zone waits")?;
    anyhow::ensure!(report.word() == Word::Pass, "the message does not verify: {report:?}");
    let verify = fastest(|| drop(ready(check(signed.as_bytes(), &zone, now))));

    show("verify", verify, rsa_verify);
    show("sign", sign, rsa_sign);
    anyhow::ensure!(
        verify.saturating_sub(rsa_verify) <= MOST,
        "verifying costs more than {MOST:?} beyond RSA"
    );
    Ok(())
}

fn show(what: &str, whole: Duration, rsa: Duration) {
    println!(
        "{what}: {whole:.1?} a message, of it RSA-2048 {rsa:.1?}, beyond it {:.1?}",
        whole.saturating_sub(rsa)
    );
}

/// A zone in memory never waits.
fn ready<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
