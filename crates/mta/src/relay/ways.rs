//! What can be said of a way out before there is a message: RCPT refuses what would come back at once.

use std::net::IpAddr;

use kings_directory::Answers;
use kings_mail::address::{Address, Host};
use kings_mail::dsn::Status;
use kings_mail::path::ReversePath;
use kings_net::{IpNet, is_public};
use kings_smtp::reply::Reply;

use super::rules::{self, Action, Routes, Rule, Way};
use super::transport::Transport;
use super::{Ourselves, Settings};

/// The routes, and which hosts are never asked.
#[derive(Clone, Debug, Default)]
pub struct Ways {
    routes: Routes,
    has_smart_host: bool,
    allow_private: Vec<IpNet>,
    ourselves: Ourselves,
}

impl Settings {
    /// What RCPT has to know of them.
    pub fn ways(&self) -> Ways {
        Ways {
            routes: self.routes.clone(),
            has_smart_host: !self.smart_hosts.is_empty(),
            allow_private: self.allow_private.clone(),
            ourselves: self.ourselves.clone(),
        }
    }
}

impl Ways {
    /// Why mail for this address at another server would come back without an attempt: a route says so, as Postfix's
    /// error(8) and retry(8) do, or the address literal is of a network that we do not send to. Where a table of routes
    /// cannot tell, it is asked again later.
    pub(crate) async fn refusal(&self, reverse_path: &ReversePath, address: &Address) -> Option<Reply> {
        let Ok(way) = self.routes.find(reverse_path, address).await else { return Some(Reply::TRY_LATER) };
        let past_mx = match way {
            Some(Way::Rule(Rule { action: Action::Error(text), .. })) => return Some(in_session(text)),
            Some(Way::Table(Transport::Error(text))) => return Some(in_session(&text)),
            Some(Way::Rule(rule)) => !matches!(rule.action, Action::Mx(_)),
            Some(Way::Table(transport)) => transport != Transport::Mx,
            None => self.has_smart_host,
        };
        match address.host {
            Host::Literal(ip)
                if !past_mx && !is_public(ip) && !self.allow_private.iter().any(|net| net.contains(&ip)) =>
            {
                let text = format!("[{ip}] is no public address");
                Some(Reply::new(550, Status(5, 4, 4), "").with_text(text))
            }
            Host::Literal(_) | Host::Domain(_) => None,
        }
    }
}

impl Ways {
    /// Whether an address literal is one of our names (RFC 5321 §4.1.3).
    pub(crate) fn have(&self, ip: IpAddr) -> bool {
        self.ourselves.have(ip)
    }

    /// Whether a route hands mail for this address to a program on this machine, or to nobody. Other programs are not asked
    /// for it: what they alone know counts as leaving, which takes more care.
    pub(crate) fn end_here(&self, reverse_path: &ReversePath, address: &Address) -> bool {
        match self.routes.look(reverse_path, address, &Answers::default()) {
            Ok(Some(Way::Rule(rule))) => {
                matches!(rule.action, Action::LmtpSocket(_) | Action::Discard(_) | Action::Error(_))
            }
            Ok(Some(Way::Table(transport))) => {
                matches!(transport, Transport::LmtpSocket(_) | Transport::Discard(_) | Transport::Error(_))
            }
            Ok(None) | Err(_) => false,
        }
    }
}

/// The words of an operator's rule as a reply; the status that they may begin with tells whether to try again.
pub(crate) fn in_session(text: &str) -> Reply {
    let (status, words) = rules::error_status(text);
    let code = if status.0 == 4 { 450 } else { 550 };
    Reply::new(code, status, "").with_text(words.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use kings_mail::domain::Domain;

    use super::super::rules::{Match, Recipients, Senders};
    use super::super::source::Source;
    use super::*;

    fn rule(matches: Match, text: &str) -> Rule {
        let action =
            if text.is_empty() { Action::Discard(String::new()) } else { Action::Error(text.to_owned()) };
        Rule { matches, action, source: Source::default() }
    }

    fn to(domain: &str) -> Match {
        Recipients::Domain(Domain::parse(domain).unwrap()).into()
    }

    async fn said(ways: &Ways, sender: &str, recipient: &str) -> Option<String> {
        let (sender, recipient) = (ReversePath::parse(sender).unwrap(), Address::parse(recipient).unwrap());
        ways.refusal(&sender, &recipient).await.map(|reply| reply.to_string())
    }

    #[tokio::test]
    async fn a_route_refuses_with_its_own_words() {
        let rules = vec![
            rule(to("gone.example"), "5.1.6 They moved to new.example"),
            rule(to("later.example"), "4.3.2 Back on Monday"),
            rule(to("plain.example"), "No mail goes there"),
            rule(to("quiet.example"), ""),
            rule(Senders::Domain(Domain::parse("here.example").unwrap()).into(), "No mail today"),
        ];
        let routes = Routes { rules, ..Routes::default() };
        let ways = Ways { routes, ..Ways::default() };
        let cases = [
            ("joe@gone.example", Some("550 5.1.6 They moved to new.example")),
            ("joe@later.example", Some("450 4.3.2 Back on Monday")),
            ("joe@plain.example", Some("550 5.7.1 No mail goes there")),
            ("joe@quiet.example", None),
            ("joe@other.example", Some("550 5.7.1 No mail today")),
        ];
        for (recipient, expected) in cases {
            assert_eq!(said(&ways, "ann@here.example", recipient).await.as_deref(), expected, "{recipient}");
        }
        assert_eq!(said(&ways, "", "joe@other.example").await, None);
    }

    #[tokio::test]
    async fn private_literals_are_refused_unless_allowed_or_routed() {
        let usual = Ways::default();
        let refused = Some("550 5.4.4 [10.1.2.3] is no public address".to_owned());
        assert_eq!(said(&usual, "", "joe@[10.1.2.3]").await, refused);
        assert!(said(&usual, "", "joe@[IPv6:fd00::1]").await.is_some());
        assert_eq!(said(&usual, "", "joe@[9.9.9.9]").await, None);
        let allowing = Ways { allow_private: vec!["10.0.0.0/8".parse().unwrap()], ..Ways::default() };
        assert_eq!(said(&allowing, "", "joe@[10.1.2.3]").await, None);
        let smart = Ways { has_smart_host: true, ..Ways::default() };
        assert_eq!(said(&smart, "", "joe@[10.1.2.3]").await, None);
    }
}
