//! One transaction of a stranger: the findings about its sender, and what the policy service wants done with it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use kings_dns::{Dns, DnsError};
use kings_mail::address::Address;
use kings_mail::domain::{DnsName, Domain};
use kings_mail::envelope::{Envelope, Recipient};
use kings_mail::path::{ForwardPath, ReversePath};
use kings_net::IpNet;
use kings_smtp::reply::Reply;

use crate::authenticate::{Claims, Evidence, Methods};
use crate::copies::add_copy;
use crate::core::{new_id, now};
use crate::decide::Peer;
use crate::delegation::{self, Action, Caller, Delegate, Request, Stage};
use crate::facts::{Enquiries, Enquiry, Facts, Rules, Sender, Verdict};
use crate::greylist::Greylist;
use crate::lists::{ListEnquiries, Lists};
use crate::patience::Patience;
use crate::policy;
use crate::policy::verdict::{Listings, Verdicts};

/// Header fields that the policy service may add to one message.
const MAX_FIELDS: usize = 50;

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
    /// A program that has a say at RCPT and at the end of a message.
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
    delegate: Option<Delegate>,
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
    pub(crate) fn new(dns: D, hostname: Domain, inbound: Inbound) -> Self {
        let Inbound { rules, methods, verdicts, arc_sealers, forwarders, lists, greylist, policy_service } =
            inbound;
        let delegate = policy_service.map(Delegate::new);
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
            delegate,
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
        let consultation = self.delegate.as_ref().map(|delegate| Consultation {
            delegate: delegate.clone(),
            reverse_name: Some(reverse_name(&self.dns, ends.peer.ip())),
            caller: Caller {
                helo: peer.client.name.clone(),
                extended: peer.client.extended,
                tls: peer.tls.clone(),
                peer: ends.peer,
                local: ends.local,
                reverse_name: None,
            },
            instance: new_id().to_string(),
            announced: size.unwrap_or(0),
        });
        let client = ends.peer.ip();
        let rules = self.rules(client);
        let enquiries = Enquiries::begin(&self.dns, rules, &sender);
        let lists = if self.passes_on(client) {
            ListEnquiries::default()
        } else {
            ListEnquiries::begin(&self.dns, &self.lists, client)
        };
        let mut case = Case { rules, enquiries, lists, consultation, wishes: Wishes::default() };
        for domain in sender.domains() {
            case.lists.ask_about(&self.dns, &domain);
        }
        case
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
    wishes: Wishes,
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
        let Some(consultation) = &mut self.consultation else { return Ok(()) };
        let question = Question { recipient: Some(&recipient.path), count: 0, size: None, id: "" };
        let action = consultation.ask(Stage::Rcpt, &envelope.reverse_path, &question).await;
        self.wishes.add(action)
    }

    /// Whether the whole message may come.
    pub(crate) async fn judge_message(
        &mut self,
        envelope: &Envelope,
        size: u64,
        id: &str,
    ) -> Result<(), Reply> {
        let Some(consultation) = &mut self.consultation else { return Ok(()) };
        let recipient = match envelope.recipients.as_slice() {
            [only] => Some(&only.path),
            _ => None,
        };
        let question = Question { recipient, count: envelope.recipients.len(), size: Some(size), id };
        let action = consultation.ask(Stage::EndOfMessage, &envelope.reverse_path, &question).await;
        self.wishes.add(action)
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
        self.wishes
    }
}

/// What the policy service has asked for so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    fields: Vec<String>,
    redirect: Option<Address>,
    /// Who gets a copy: the last one that is named, as with Postfix.
    copy: Option<Address>,
    /// Why the message waits in the queue.
    pub(crate) hold: Option<String>,
    /// The message is to be dropped, though it counts as taken.
    pub(crate) discard: bool,
}

impl Wishes {
    fn add(&mut self, action: Action) -> Result<(), Reply> {
        match action {
            Action::Continue | Action::Note(_) => {}
            Action::Refuse(reply) => return Err(reply),
            Action::Prepend(field) => {
                // The same answer for each recipient is one field of the message.
                if self.fields.len() < MAX_FIELDS && !self.fields.contains(&field) {
                    self.fields.push(field);
                }
            }
            Action::Discard => self.discard = true,
            Action::Redirect(address) => self.redirect = Some(address),
            Action::Bcc(address) => self.copy = Some(address),
            Action::Hold(why) => self.hold = Some(why),
        }
        Ok(())
    }

    /// The header fields to be put in front, with their line ends.
    pub(crate) fn fields(&self) -> String {
        self.fields.iter().map(|field| format!("{field}\r\n")).collect()
    }

    /// The recipients and who gets a copy, or the one that takes the place of all.
    pub(crate) fn recipients(self, mut recipients: Vec<Recipient>) -> Vec<Recipient> {
        let Some(address) = self.redirect else {
            if let Some(address) = self.copy {
                add_copy(&mut recipients, address);
            }
            return recipients;
        };
        recipients.first().map(|recipient| recipient.at(ForwardPath::Address(address))).into_iter().collect()
    }
}

/// A transaction as the policy service sees it.
#[derive(Debug)]
struct Consultation {
    delegate: Delegate,
    reverse_name: Option<Enquiry<Option<(String, bool)>>>,
    caller: Caller,
    instance: String,
    announced: u64,
}

/// What differs between the questions about one transaction.
struct Question<'a> {
    recipient: Option<&'a ForwardPath>,
    count: usize,
    size: Option<u64>,
    id: &'a str,
}

impl Consultation {
    async fn ask(&mut self, stage: Stage, reverse_path: &ReversePath, question: &Question<'_>) -> Action {
        if let Some(mut enquiry) = self.reverse_name.take() {
            self.caller.reverse_name = enquiry.answer(true).await.flatten();
        }
        let request = Request {
            stage,
            caller: &self.caller,
            reverse_path,
            recipient: question.recipient,
            recipient_count: question.count,
            size: question.size.unwrap_or(self.announced),
            instance: &self.instance,
            id: question.id,
        };
        self.delegate.ask(&request).await
    }
}

/// Looks for the reverse name of a client, and whether it leads back to the client.
fn reverse_name<D: Dns + 'static>(dns: &Arc<D>, client: IpAddr) -> Enquiry<Option<(String, bool)>> {
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

    #[test]
    fn wishes_add_up_to_one_message() {
        let mut wishes = Wishes::default();
        for text in ["PREPEND X-A: 1", "PREPEND X-A: 1", "DUNNO", "PREPEND X-B: 2"] {
            assert_eq!(wishes.add(Action::parse(text).unwrap()), Ok(()));
        }
        assert_eq!(wishes.fields(), "X-A: 1\r\nX-B: 2\r\n");
        assert!(wishes.add(Action::parse("REJECT").unwrap()).is_err());
        wishes.add(Action::parse("REDIRECT bob@example.org").unwrap()).unwrap();
        let recipient = |text| Recipient::from(ForwardPath::parse(text).unwrap());
        let redirected = wishes.recipients(vec![recipient("ann@example.org"), recipient("joe@example.org")]);
        assert_eq!(
            redirected.iter().map(|found| found.path.to_string()).collect::<Vec<_>>(),
            ["<bob@example.org>"]
        );

        // Of copies and reasons the last one counts, and no copy is made of what is redirected.
        for (answers, expected) in [
            (
                &["BCC x@y.example", "BCC sue@example.org"][..],
                &["<ann@example.org>", "<sue@example.org>"][..],
            ),
            (&["BCC ann@example.org"], &["<ann@example.org>"]),
            (&["BCC sue@example.org", "REDIRECT bob@example.org"], &["<bob@example.org>"]),
            (&["HOLD", "HOLD look at it"], &["<ann@example.org>"]),
        ] {
            let mut wishes = Wishes::default();
            for text in answers {
                wishes.add(Action::parse(text).unwrap()).unwrap();
            }
            assert_eq!(wishes.hold.as_deref(), answers[0].starts_with("HOLD").then_some("look at it"));
            let found = wishes.recipients(vec![recipient("ann@example.org")]);
            assert_eq!(found.iter().map(|found| found.path.to_string()).collect::<Vec<_>>(), expected);
        }

        let mut flood = Wishes::default();
        for number in 0..200 {
            flood.add(Action::Prepend(format!("X-A: {number}"))).unwrap();
        }
        assert_eq!(flood.fields().lines().count(), MAX_FIELDS);
        assert_eq!(flood.recipients(vec![recipient("ann@example.org")]), [recipient("ann@example.org")]);
    }
}
