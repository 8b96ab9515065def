//! One transaction of a stranger: the findings about its sender, and what the policy services say of it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use kings_dns::{Dns, DnsError};
use kings_mail::domain::{DnsName, Domain};
use kings_mail::envelope::{Envelope, Recipient};
use kings_mail::path::ReversePath;
use kings_net::IpNet;
use kings_smtp::reply::Reply;

use crate::authenticate::{Claims, Evidence, Methods};
use crate::core::now;
use crate::decide::Peer;
use crate::delegation::{self, Access, Caller, Consultation, Services, Wishes};
use crate::facts::{Enquiries, Enquiry, Facts, Rules, Sender, Verdict};
use crate::greylist::Greylist;
use crate::lists::{ListEnquiries, Lists};
use crate::patience::Patience;
use crate::policy;
use crate::policy::verdict::{Listings, Verdicts};
use crate::repeats::Repeats;

/// What is asked about arriving mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inbound {
    /// What findings about the sender lead to.
    pub rules: Rules,
    /// How it is authenticated, and what follows from that.
    pub methods: Methods,
    /// What the results lead to.
    pub verdicts: Verdicts,
    /// Whose seals of ARC count.
    pub arc_sealers: Vec<Domain>,
    /// Hosts that pass mail of others on to us: our backup MX, forwarders. That it is from them fails nothing.
    pub forwarders: Vec<IpNet>,
    /// Which lists in DNS are asked about clients.
    pub lists: Lists,
    /// Whether strangers are to come again.
    pub greylist: Option<Greylist>,
    /// Programs that have a say.
    pub policy_service: Option<delegation::Settings>,
}

/// Where the answers come from; one for all sessions.
#[derive(Debug)]
pub(crate) struct Checks<D> {
    dns: Arc<Patience<D>>,
    hostname: Domain,
    rules: Rules,
    methods: Methods,
    verdicts: Verdicts,
    arc_sealers: Vec<Domain>,
    forwarders: Vec<IpNet>,
    lists: Lists,
    greylist: Option<Greylist>,
    services: Services,
    repeats: Repeats,
}

/// Whether one of the networks holds the client.
pub(crate) fn is_in(networks: &[IpNet], client: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&client.to_canonical()))
}

/// The two ends of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
}

impl<D: Dns + 'static> Checks<D> {
    pub(crate) fn new(dns: D, hostname: Domain, inbound: Inbound, access: Access) -> Self {
        let Inbound { rules, methods, verdicts, arc_sealers, forwarders, lists, greylist, policy_service } =
            inbound;
        Self {
            dns: Arc::new(Patience(dns)),
            hostname,
            rules,
            methods,
            verdicts,
            arc_sealers,
            forwarders,
            lists,
            greylist,
            services: Services::new(policy_service, access),
            repeats: Repeats::default(),
        }
    }

    /// What the words of a client lead to; whoever passes mail on has taken it, and would have to bounce it.
    pub(crate) fn rules(&self, client: IpAddr) -> Rules {
        if self.passes_on(client) { Rules::default() } else { self.rules }
    }

    /// Whether the client passes mail of others on to us.
    pub(crate) fn passes_on(&self, client: IpAddr) -> bool {
        is_in(&self.forwarders, client)
    }

    pub(crate) fn verdicts(&self) -> Verdicts {
        self.verdicts
    }

    pub(crate) fn arc_sealers(&self) -> &[Domain] {
        &self.arc_sealers
    }

    pub(crate) fn repeats(&self) -> &Repeats {
        &self.repeats
    }

    pub(crate) fn greylist(&self) -> Option<&Greylist> {
        self.greylist.as_ref()
    }

    pub(crate) fn dns(&self) -> &Arc<Patience<D>> {
        &self.dns
    }

    /// The checks of one message, from MAIL on.
    pub(crate) fn evidence(&self, path: &ReversePath, helo: &str, client: IpAddr) -> Evidence {
        Evidence::begin(&self.dns, self.methods, &self.claims(path, helo, client))
    }

    pub(crate) fn claims<'a>(
        &'a self,
        reverse_path: &'a ReversePath,
        helo: &'a str,
        client: IpAddr,
    ) -> Claims<'a> {
        Claims { client, helo, reverse_path, receiver: &self.hostname, now: now() }
    }

    /// Asks all there is to ask, and waits for none of it.
    pub(crate) fn begin(&self, path: &ReversePath, size: Option<u64>, peer: &Peer<'_>, ends: Ends) -> Case {
        let sender = Sender { helo: &peer.client.name, reverse_path: path, hostname: &self.hostname };
        let consultation = self.consultation(peer, ends, size);
        let client = ends.peer.ip();
        let rules = self.rules(client);
        let enquiries = Enquiries::begin(&self.dns, rules, &sender);
        let lists = if self.passes_on(client) {
            ListEnquiries::default()
        } else {
            ListEnquiries::begin(&self.dns, &self.lists, client)
        };
        let mut case = Case { rules, enquiries, lists, consultation };
        for domain in sender.domains() {
            case.lists.ask_about(&self.dns, &domain);
        }
        case
    }

    /// What the policy services are asked about this client, if there are any.
    pub(crate) fn consultation(
        &self,
        peer: &Peer<'_>,
        ends: Ends,
        size: Option<u64>,
    ) -> Option<Consultation> {
        let caller = Caller {
            helo: peer.client.name.clone(),
            extended: peer.client.extended,
            tls: peer.tls.clone(),
            peer: ends.peer,
            local: ends.local,
            // Other servers are asked for none.
            certificate: None,
            reverse_name: None,
            login: None,
            submitter: None,
        };
        let consultation = Consultation::new(&self.services, caller, size)?;
        Some(consultation.naming(reverse_name(&self.dns, ends.peer.ip())))
    }

    pub(crate) fn services(&self) -> &Services {
        &self.services
    }

    /// The name of a client by DNS, where it leads back to the client.
    pub(crate) async fn confirmed_name(&self, client: IpAddr) -> Option<String> {
        let (name, leads_back) = reverse_name(&self.dns, client).answer(true).await??;
        leads_back.then_some(name)
    }
}

/// One transaction, from MAIL to its end.
#[derive(Debug)]
pub(crate) struct Case {
    rules: Rules,
    enquiries: Enquiries,
    lists: ListEnquiries,
    consultation: Option<Consultation>,
}

impl Case {
    /// Whether the sender may write to a recipient that nothing else speaks against.
    pub(crate) async fn judge_recipient(
        &mut self,
        recipient: &Recipient,
        envelope: &Envelope,
    ) -> Result<(), Reply> {
        let facts = self.enquiries.facts(Verdict::refuses, self.rules).await;
        policy::sender(facts, self.rules)?;
        match &mut self.consultation {
            Some(consultation) => consultation.judge_recipient(&recipient.path, &envelope.reverse_path).await,
            None => Ok(()),
        }
    }

    /// Whether the policy services let a transaction of this sender begin.
    pub(crate) async fn judge_sender(&mut self, path: &ReversePath) -> Result<(), Reply> {
        match &mut self.consultation {
            Some(consultation) => consultation.judge_sender(path).await,
            None => Ok(()),
        }
    }

    /// Whether they let the message come.
    pub(crate) async fn judge_data(&mut self, envelope: &Envelope) -> Result<(), Reply> {
        match &mut self.consultation {
            Some(consultation) => consultation.judge_data(envelope).await,
            None => Ok(()),
        }
    }

    /// Whether the whole message may come.
    pub(crate) async fn judge_message(
        &mut self,
        envelope: &Envelope,
        size: u64,
        id: &str,
    ) -> Result<(), Reply> {
        match &mut self.consultation {
            Some(consultation) => consultation.judge_message(envelope, size, id).await,
            None => Ok(()),
        }
    }

    /// All that was found, for the log: what has a consequence is waited for, the rest is what is known by now.
    pub(crate) async fn facts(&mut self) -> Facts {
        self.enquiries.facts(|verdict| verdict != Verdict::Accept, self.rules).await
    }

    /// The lists that the client, or a domain of the message, is on; to be asked once.
    pub(crate) async fn listings<D: Dns + 'static>(&mut self, dns: &Arc<D>, authors: &[Domain]) -> Listings {
        let mut lists = std::mem::take(&mut self.lists);
        for author in authors {
            lists.ask_about(dns, author);
        }
        lists.listings().await
    }

    pub(crate) fn into_wishes(self) -> Wishes {
        self.consultation.map(Consultation::into_wishes).unwrap_or_default()
    }
}

/// Looks for the reverse name of a client, and whether it leads back to the client.
pub(crate) fn reverse_name<D: Dns + 'static>(
    dns: &Arc<D>,
    client: IpAddr,
) -> Enquiry<Option<(String, bool)>> {
    let dns = dns.clone();
    let find = async move {
        let name = dns.reverse(client).await.ok()?.records.into_iter().next()?;
        let leads_back = leads_to(&*dns, &name, client).await.unwrap_or(false);
        Some((name.to_string(), leads_back))
    };
    Enquiry::begin(find, None)
}

async fn leads_to(dns: &impl Dns, name: &DnsName, client: IpAddr) -> Result<bool, DnsError> {
    Ok(match client {
        IpAddr::V4(client) => dns.ipv4(name).await?.records.contains(&client),
        IpAddr::V6(client) => dns.ipv6(name).await?.records.contains(&client),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use kings_dns::Zone;

    use super::*;

    #[tokio::test]
    async fn a_reverse_name_is_believed_only_when_it_leads_back() {
        let name = |text: &str| DnsName::parse(text).unwrap();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let zone = Zone::default()
            .with_reverse(ip("192.0.2.1"), name("true.example"))
            .with_address(name("true.example"), ip("192.0.2.1"))
            .with_reverse(ip("2001:db8::1"), name("six.example"))
            .with_address(name("six.example"), ip("2001:db8::1"))
            .with_reverse(ip("192.0.2.2"), name("true.example"))
            .with_reverse(ip("192.0.2.3"), name("nowhere.example"));
        let zone = Arc::new(zone);
        let cases = [
            ("192.0.2.1", Some(("true.example", true))),
            ("2001:db8::1", Some(("six.example", true))),
            ("192.0.2.2", Some(("true.example", false))),
            ("192.0.2.3", Some(("nowhere.example", false))),
            ("192.0.2.4", None),
        ];
        for (client, expected) in cases {
            let found = reverse_name(&zone, ip(client)).answer(true).await.flatten();
            assert_eq!(found, expected.map(|(name, leads)| (name.to_owned(), leads)), "{client}");
        }
    }
}
