//! Hosts that are not shown: `ann@desk.example.org` writes as `ann@example.org` (Postfix's `masquerade_domains`).

use kings_mail::address::{Address, Host};
use kings_mail::domain::Domain;

use super::{Class, Classes};

/// The domains whose parts are not shown.
#[derive(Clone, Debug, Default)]
pub struct Masquerade {
    /// The first that an address is in, or below, counts; `false` leaves it as it is (Postfix's `!`).
    pub domains: Vec<(Domain, bool)>,
    /// Names that stay as they are, such as `root`.
    pub exceptions: Vec<String>,
    /// Where that goes for.
    pub classes: Classes,
}

impl Masquerade {
    pub(super) fn is_empty(&self) -> bool {
        self.domains.is_empty()
    }

    pub(super) fn shown(&self, class: Class, address: Address) -> Address {
        let name = address.local_part.as_str();
        if !self.classes.has(class) || self.exceptions.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return address;
        }
        let Some(domain) = address.domain() else { return address };
        match self.domains.iter().find(|(above, _)| domain.is_within(above)) {
            Some((above, true)) => Address { host: Host::Domain(above.clone()), ..address },
            Some((_, false)) | None => address,
        }
    }
}
