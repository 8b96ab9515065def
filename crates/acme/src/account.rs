//! The account at an authority: made once, its key on disk before the authority hears of it.

use instant_acme::{Account, AccountCredentials, Error, Key};
use rcgen::KeyPair;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::http::Http;
use crate::order::patiently;
use crate::shelf::Shelf;
use crate::trouble::Trouble;

const KEY: &str = "key.pem";
const ACCOUNT: &str = "account.json";

/// Finds the account of this machine, or makes one. A crash between the two leaves a key, and an authority gives one key one
/// account (RFC 8555 §7.3.1).
pub(crate) async fn open(
    shelf: &Shelf,
    directory: &str,
    contact: Option<&str>,
    http: &Http,
) -> Result<Account, Trouble> {
    let authority = folder_of(directory);
    if let Some(text) = shelf.account(&authority, ACCOUNT)?
        && let Ok(credentials) = serde_json::from_str::<AccountCredentials>(&text)
    {
        let builder = Account::builder_with_http(Box::new(http.clone()));
        return builder.from_credentials(credentials).await.map_err(Trouble::of);
    }
    let key = match shelf.account(&authority, KEY)? {
        Some(pem) => KeyPair::from_pem(&pem).map_err(unusable)?,
        None => {
            let key = KeyPair::generate().map_err(unusable)?;
            shelf.keep_account(&authority, KEY, &key.serialize_pem())?;
            key
        }
    };
    let made = patiently!(make(&key, directory, http));
    let (account, credentials) = made.map_err(Trouble::of)?;
    if let Some(contact) = contact {
        patiently!(account.update_contacts(&[contact])).map_err(Trouble::of)?;
    }
    let text = serde_json::to_string(&credentials).map_err(|error| Trouble::Other(error.to_string()))?;
    shelf.keep_account(&authority, ACCOUNT, &text)?;
    Ok(account)
}

/// The authority does not know it any more: the next look makes it again, with the same key.
pub(crate) fn forget(shelf: &Shelf, directory: &str) -> Result<(), Trouble> {
    Ok(shelf.keep_account(&folder_of(directory), ACCOUNT, "")?)
}

async fn make(key: &KeyPair, directory: &str, http: &Http) -> Result<(Account, AccountCredentials), Error> {
    let der = PrivatePkcs8KeyDer::from(key.serialize_der());
    let pair = (Key::from_pkcs8_der(der.clone_key())?, PrivateKeyDer::Pkcs8(der));
    let builder = Account::builder_with_http(Box::new(http.clone()));
    builder.create_from_key(pair, directory.to_owned()).await
}

#[allow(clippy::needless_pass_by_value, reason = "a function for map_err")]
fn unusable(error: rcgen::Error) -> Trouble {
    Trouble::Other(format!("the key of the account cannot be used: {error}"))
}

/// An authority is known by the address of its directory.
fn folder_of(directory: &str) -> String {
    let address = directory.strip_prefix("https://").unwrap_or(directory);
    address
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') { c } else { '_' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_has_a_folder_that_leads_nowhere_else() {
        assert_eq!(folder_of("https://ca.example/acme/directory"), "ca.example_acme_directory");
        assert_eq!(folder_of("https://[::1]:14000/../dir"), "___1__14000_.._dir");
    }
}
