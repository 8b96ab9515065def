//! The lists in DNS that a client and the domains of its message are on, and what they say together.

use std::net::Ipv4Addr;

use kings_mail::domain::Domain;

/// One list that a client is on, or a domain of its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The domain, where it is not the client.
    pub domain: Option<Domain>,
    /// The list.
    pub zone: String,
    /// What it counts; a negative weight speaks for the client.
    pub weight: i32,
    /// What the list answers.
    pub codes: Vec<Ipv4Addr>,
}

/// All lists that a client and the domains of its message are on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listings {
    /// Those that speak against it, or by a negative weight for it.
    pub block: Vec<Listing>,
    /// Those of good senders.
    pub welcome: Vec<Listing>,
}

impl Listings {
    /// What the lists say against it, where these weigh enough and no list of good senders knows the client.
    pub(super) fn against(&self, threshold: i32) -> Option<String> {
        let score = self.block.iter().map(|listing| listing.weight).fold(0, i32::saturating_add);
        if score < threshold || !self.welcome.is_empty() {
            return None;
        }
        let mut bad = self.block.iter().filter(|listing| listing.weight > 0).peekable();
        bad.peek()?;
        let (mut text, mut before) = (String::new(), None);
        for Listing { domain, zone, codes, .. } in bad {
            let codes: Vec<String> = codes.iter().map(Ipv4Addr::to_string).collect();
            text += &match domain {
                _ if before == Some(domain) => " and the list ".to_owned(),
                Some(domain) if before.is_some() => format!(", the domain {domain} is on the list "),
                Some(domain) => format!("the domain {domain} is on the list "),
                None => "the client is on the list ".to_owned(),
            };
            text += &format!("{zone} ({})", codes.join(", "));
            before = Some(domain);
        }
        Some(text)
    }
}
