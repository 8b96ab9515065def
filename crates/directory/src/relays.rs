//! Domains whose mail is passed on to a server behind this one, and who exists there.

use std::str::FromStr;

use kings_mail::domain::Domain;

use crate::lookup::Meaning;
use crate::table::TableSource;

/// A domain that this server takes mail for and passes on: a backup MX, or a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayDomain {
    /// Its name.
    pub name: Domain,
    /// Who exists there, in the syntax of Postfix's `relay_recipient_maps`. Without it everybody seems to, and what
    /// the other server refuses must be bounced to senders that may be forged.
    pub recipients: Option<Vec<TableSource>>,
}

/// Somebody who exists there; what stands behind the name is ignored, as in Postfix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed;

impl Meaning for Listed {}

impl FromStr for Listed {
    type Err = String;

    fn from_str(_: &str) -> Result<Self, String> {
        Ok(Self)
    }
}
