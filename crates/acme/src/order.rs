//! One order, from its beginning to the chain of certificates (RFC 8555 §7.4).

use std::future::Future;
use std::io;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, Error, Identifier, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use kings_mail::domain::Domain;
use kings_net::Resolver;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use tracing::{info, warn};

use crate::challenge::{Kind, Proof, Publish, Records};
use crate::trouble::{Trouble, told};

/// How often a request is made again whose nonce the authority does not like (RFC 8555 §6.5): it has done nothing.
pub(crate) const MOST_NONCES: u32 = 20;

/// Does a call again for as long as only its nonce is refused.
macro_rules! patiently {
    ($call:expr) => {{
        let mut tries = 0;
        loop {
            match $call.await {
                Err(error) if $crate::trouble::is_bad_nonce(&error) && tries < $crate::order::MOST_NONCES => {
                    tries += 1;
                }
                ended => break ended,
            }
        }
    }};
}
pub(crate) use patiently;

/// How long an authority is asked whether it has decided.
const DECIDES: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .backoff(1.5)
    .timeout(Duration::from_secs(90));

/// What is ordered.
pub(crate) struct Wish<'a> {
    pub(crate) name: &'a Domain,
    pub(crate) key: &'a KeyPair,
    /// Ways to prove the name, the preferred one first.
    pub(crate) kinds: &'a [Kind],
    pub(crate) publish: &'a Publish,
    /// Finds where a record has to stand.
    pub(crate) resolver: &'a Resolver,
    /// The certificate that the new one takes the place of, where the authority wants to know (RFC 9773 §5).
    pub(crate) replaces: Option<CertificateIdentifier<'static>>,
    /// An order that was begun before.
    pub(crate) begun: Option<String>,
}

/// Whoever remembers an order, to come back to it after a crash.
pub(crate) trait Remember {
    fn begun(&self, order: &str) -> impl Future<Output = io::Result<()>> + Send;
}

/// Orders a certificate and waits for it.
pub(crate) async fn obtain(
    account: &Account,
    wish: Wish<'_>,
    memory: &(impl Remember + Records + Sync),
) -> Result<String, Trouble> {
    if let Some(url) = &wish.begun
        && let Ok(mut order) = patiently!(account.order(url.clone()))
        && matches!(order.state().status, OrderStatus::Ready | OrderStatus::Processing | OrderStatus::Valid)
    {
        info!(name = %wish.name, order = url, "going on with an order that was begun");
        return finish(&mut order, &wish).await;
    }
    let mut last = Trouble::NoChallenge;
    for kind in wish.kinds {
        let mut order = begin(account, &wish).await?;
        memory.begun(order.url()).await?;
        match prove(&mut order, &wish, *kind, memory).await {
            Ok(()) => return finish(&mut order, &wish).await,
            Err(trouble @ Trouble::Challenge { .. }) => {
                warn!(name = %wish.name, %trouble, "the next way to prove the name is tried, if there is one");
                last = trouble;
            }
            // What it does not offer says less than what failed.
            Err(Trouble::NoChallenge) => {}
            Err(trouble) => return Err(trouble),
        }
    }
    Err(last)
}

async fn begin(account: &Account, wish: &Wish<'_>) -> Result<Order, Trouble> {
    let identifiers = [Identifier::Dns(wish.name.to_string())];
    if let Some(replaces) = &wish.replaces {
        let new = NewOrder::new(&identifiers).replaces(replaces.clone());
        if let Ok(order) = patiently!(account.new_order(&new)) {
            return Ok(order);
        }
        // Replaced already, or of another account (RFC 9773 §5): an order is an order.
    }
    let new = NewOrder::new(&identifiers);
    patiently!(account.new_order(&new)).map_err(Trouble::of)
}

/// Proves the name in one way. An authority that remembers an earlier proof wants none.
async fn prove(
    order: &mut Order,
    wish: &Wish<'_>,
    kind: Kind,
    records: &(impl Records + Sync),
) -> Result<(), Trouble> {
    if order.state().status == OrderStatus::Ready {
        return Ok(());
    }
    let mut proofs = Vec::new();
    let answered = answer(order, wish, kind, (&mut proofs, records)).await;
    let decided = match answered {
        Ok(()) => patiently!(order.poll_ready(&DECIDES)).map_err(Trouble::of),
        Err(trouble) => Err(trouble),
    };
    for proof in proofs {
        proof.remove(records).await;
    }
    match decided {
        Ok(OrderStatus::Ready) => Ok(()),
        Ok(_) | Err(Trouble::Refused(_)) => Err(Trouble::Challenge { kind, text: reason(order).await }),
        Err(trouble) => Err(trouble),
    }
}

async fn answer(
    order: &mut Order,
    wish: &Wish<'_>,
    kind: Kind,
    (proofs, records): (&mut Vec<Proof>, &(impl Records + Sync)),
) -> Result<(), Trouble> {
    patiently!(look(order)).map_err(Trouble::of)?;
    // They are known now, so nothing is asked here.
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(Trouble::of)?;
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        let mut challenge = authorization.challenge(kind.at_authority()).ok_or(Trouble::NoChallenge)?;
        let token = challenge.token.clone();
        let answer = challenge.key_authorization();
        let places = (wish.resolver, records);
        proofs.push(wish.publish.put(kind, wish.name, &token, &answer, places).await?);
        patiently!(challenge.set_ready()).map_err(Trouble::of)?;
    }
    Ok(())
}

/// Asks for the state of what is to be proved.
async fn look(order: &mut Order) -> Result<(), Error> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        authorization?;
    }
    Ok(())
}

/// Why the authority was not convinced, in its words.
async fn reason(order: &mut Order) -> String {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = patiently!(authorization.refresh()) else { continue };
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            return told(problem);
        }
    }
    "the authority does not say why".to_owned()
}

async fn finish(order: &mut Order, wish: &Wish<'_>) -> Result<String, Trouble> {
    if order.state().status == OrderStatus::Ready {
        let request = request(wish).map_err(|error| Trouble::Other(error.to_string()))?;
        patiently!(order.finalize_csr(&request)).map_err(Trouble::of)?;
    }
    patiently!(order.poll_certificate(&DECIDES)).map_err(Trouble::of)
}

/// The request for the name and nothing else (RFC 2986).
fn request(wish: &Wish<'_>) -> Result<Vec<u8>, rcgen::Error> {
    let mut parameters = CertificateParams::new(vec![wish.name.to_string()])?;
    parameters.distinguished_name = DistinguishedName::new();
    Ok(parameters.serialize_request(wish.key)?.der().to_vec())
}
