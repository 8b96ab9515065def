//! The addresses of all hosts of one attempt: those of one preference are looked up at the same time, and those behind
//! them as soon as one of these keeps us waiting.

use std::ops::Range;
use std::time::Duration;

use kings_dns::DnsError;
use tokio::time::timeout;

use super::route::{Address, NextHop, NoRoute, temporary};
use super::together::Together;
use crate::patience::QUESTION;

/// How long the addresses of one host are looked for. A name server that does not answer is asked again by the resolver,
/// for half a minute; a host that is not found by now is one that cannot be found for the moment.
pub(super) const LOOK_UP: Duration = Duration::from_secs(15);
/// How long equals are waited for though one of them can be tried. Where DNS works at all, it is known by then whether
/// one of them is this server.
const EQUALS: Duration = QUESTION;

type Found = Result<Vec<Address>, NoRoute>;

/// What is known of the hosts of an attempt, of which there are few: `route::MAX_HOSTS`.
pub(super) struct Search<'a> {
    hops: &'a [NextHop],
    found: Together<'a, Found>,
    told: Vec<bool>,
    /// Any of them may be this server, which takes mail for their domain to pass it on.
    may_be_us: bool,
}

impl<'a> Search<'a> {
    pub(super) fn new<F: Future<Output = Found> + Send + 'a>(
        hops: &'a [NextHop],
        may_be_us: bool,
        look_up: impl Fn(&'a NextHop) -> F,
    ) -> Self {
        let bounded = |hop: &'a NextHop| {
            let found = look_up(hop);
            // The clock begins when the question is asked.
            async move { timeout(LOOK_UP, found).await.unwrap_or_else(|_| Err(late(hop))) }
        };
        Self {
            hops,
            found: Together::new(hops.iter().map(bounded)),
            told: vec![false; hops.len()],
            may_be_us,
        }
    }

    /// All of them, in the order in which to visit them.
    pub(super) fn hops(&self) -> &'a [NextHop] {
        self.hops
    }

    /// What is known of the equals at these places, once it is all of them, or one can be tried and others are slow.
    pub(super) async fn first(&mut self, places: Range<usize>) -> Result<Vec<(&'a NextHop, Found)>, NoRoute> {
        let all = self.found.advance(places.end, |found| hold_us(&found[places.clone()]));
        let _ = timeout(EQUALS, all).await;
        self.more(places).await
    }

    /// What has become known since then; empty when that was all. An error as soon as one of them is this server.
    ///
    /// Mail that this server only passes on waits for all equals: one that does not find us either could give it back.
    pub(super) async fn more(&mut self, places: Range<usize>) -> Result<Vec<(&'a NextHop, Found)>, NoRoute> {
        let (told, may_be_us) = (&self.told[places.clone()], self.may_be_us);
        let enough = |found: &[Option<Found>]| {
            let equals = &found[places.clone()];
            let can_try = |(found, told): (&Option<Found>, &bool)| !told && matches!(found, Some(Ok(_)));
            equals.iter().all(Option::is_some)
                || hold_us(equals)
                || (!may_be_us && equals.iter().zip(told).any(can_try))
        };
        if !enough(self.found.brought()) {
            self.found.advance(self.hops.len(), enough).await;
        }
        let mut news = Vec::new();
        for place in places {
            match &self.found.brought()[place] {
                Some(Err(ourselves @ NoRoute::Ourselves(_))) => return Err(ourselves.clone()),
                Some(found) if !self.told[place] => news.push((&self.hops[place], found.clone())),
                Some(_) | None => continue,
            }
            self.told[place] = true;
        }
        Ok(news)
    }

    /// Whether one of these hosts may be this server, since DNS tells neither of it nor of another one that is: then those
    /// behind it would only send the mail back (RFC 5321 §5.1).
    pub(super) async fn leaves_doubt(&mut self, places: Range<usize>) -> bool {
        let unknown = |found: &Option<Found>| matches!(found, None | Some(Err(NoRoute::Temporary(_))));
        if !self.may_be_us || !self.found.brought()[places].iter().any(unknown) {
            return false;
        }
        self.found.advance(self.hops.len(), hold_us).await;
        !hold_us(self.found.brought())
    }
}

fn hold_us(found: &[Option<Found>]) -> bool {
    found.iter().any(|found| matches!(found, Some(Err(NoRoute::Ourselves(_)))))
}

fn late(hop: &NextHop) -> NoRoute {
    let text = format!("no answer within {} s", LOOK_UP.as_secs());
    temporary(&hop.host.to_string(), &DnsError::Temporary(text))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::net::{Ipv4Addr, SocketAddr};

    use kings_smtp::client::Protocol;
    use tokio::time::{Instant, sleep};

    use super::super::route::HostName;
    use super::super::{Level, Source};
    use super::*;

    /// What DNS says of a host, and after how many seconds.
    #[derive(Clone, Copy)]
    enum Told {
        Address(u64),
        Broken(u64),
        Us(u64),
        Never,
    }
    use Told::{Address as At, Broken, Never, Us};

    /// Each with its preference.
    type Hosts = &'static [(u16, Told)];

    async fn ask(told: Told) -> Found {
        let seconds = match told {
            At(seconds) | Broken(seconds) | Us(seconds) => seconds,
            Never => std::future::pending().await,
        };
        sleep(Duration::from_secs(seconds)).await;
        match told {
            Us(_) => Err(NoRoute::Ourselves("it is us".to_owned())),
            Broken(_) => Err(NoRoute::Temporary("SERVFAIL".to_owned())),
            At(_) | Never => Ok(vec![Address::Inet(SocketAddr::from((Ipv4Addr::LOCALHOST, 25)))]),
        }
    }

    /// Visits hosts as the relay does, of whom none takes the message and each keeps us for `visit` seconds: who is
    /// visited or found to be of no use, and when.
    async fn walk(hosts: Hosts, may_be_us: bool, visit: u64) -> String {
        let hop = |(place, &(preference, _)): (usize, &(u16, Told))| NextHop {
            host: HostName::Address(Ipv4Addr::from(u32::try_from(place).unwrap()).into()),
            preference,
            port: 25,
            protocol: Protocol::Smtp,
            tls: Level::May,
            login: None,
            configured: false,
            authenticated: false,
            source: Source::default(),
        };
        let hops: Vec<NextHop> = hosts.iter().enumerate().map(hop).collect();
        let place = |hop: &NextHop| hops.iter().position(|other| other == hop).unwrap();
        let began = Instant::now();
        let mut search = Search::new(&hops, may_be_us, |hop| ask(hosts[place(hop)].1));
        let (mut walked, mut end) = (Vec::new(), 0);
        for equals in hops.chunk_by(|one, other| one.preference == other.preference) {
            let places = end..end + equals.len();
            end = places.end;
            let mut found = search.first(places.clone()).await;
            loop {
                let at = began.elapsed().as_secs();
                let Ok(hosts) = found else {
                    walked.push(format!("us@{at}"));
                    return walked.join(" ");
                };
                if hosts.is_empty() {
                    break;
                }
                for (hop, addresses) in hosts {
                    let letter = char::from(b'a' + u8::try_from(place(hop)).unwrap());
                    let at = began.elapsed().as_secs();
                    if addresses.is_ok() {
                        walked.push(format!("{letter}@{at}"));
                        sleep(Duration::from_secs(visit)).await;
                    } else {
                        walked.push(format!("no {letter}@{at}"));
                    }
                }
                found = search.more(places.clone()).await;
            }
            if search.leaves_doubt(places).await {
                walked.push("doubt".to_owned());
                break;
            }
        }
        walked.join(" ")
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_name_server_keeps_mail_only_from_its_own_host() {
        let cases: &[(Hosts, u64, &str)] = &[
            (&[(10, At(0)), (10, At(1)), (20, At(0))], 0, "a@1 b@1 c@1"),
            // Six that are silent, and one that is there, in any place among them.
            (
                &[(10, Never), (10, Never), (10, Never), (10, Never), (10, Never), (10, At(0)), (10, Never)],
                0,
                "f@3 no a@15 no b@15 no c@15 no d@15 no e@15 no g@15",
            ),
            // A slow equal has its turn as soon as it is found, also while another one was visited.
            (&[(10, At(7)), (10, At(0)), (20, At(0))], 0, "b@3 a@7 c@7"),
            (&[(10, At(7)), (10, At(0)), (20, At(0))], 30, "b@3 a@33 c@63"),
            // A better preference is waited for, and so long and no longer.
            (&[(10, At(14)), (20, At(0))], 0, "a@14 b@14"),
            (&[(10, Never), (20, At(0))], 0, "no a@15 b@15"),
            // However many of them: they are looked up while the first one is.
            (
                &[(10, Never), (20, Never), (30, Never), (40, Never), (50, At(0))],
                0,
                "no a@15 no b@18 no c@18 no d@18 e@18",
            ),
            // Nobody behind is asked about while all goes well: c is still to be looked up then.
            (&[(10, At(0)), (10, At(2)), (20, At(2))], 0, "a@2 b@2 c@4"),
            (&[(10, Broken(1)), (20, At(1))], 0, "no a@1 b@2"),
        ];
        for &(hosts, visit, expected) in cases {
            assert_eq!(walk(hosts, false, visit).await, expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_may_be_this_server_is_waited_for() {
        // Hosts; what is done where the domain is a stranger's, and where this server takes its mail to pass it on.
        let cases: &[(Hosts, &str, &str)] = &[
            (&[(10, At(0)), (10, Us(2))], "us@2", "us@2"),
            (&[(10, At(0)), (20, Us(2)), (30, At(0))], "a@0 us@2", "a@0 us@2"),
            (&[(10, At(0)), (10, Us(9))], "a@3 us@9", "us@9"),
            (&[(10, At(0)), (10, Never), (20, At(0))], "a@3 no b@15 c@15", "a@15 no b@15 doubt"),
            (&[(10, Never), (20, At(0))], "no a@15 b@15", "no a@15 doubt"),
            (&[(10, Broken(0)), (20, At(0))], "no a@0 b@0", "no a@0 doubt"),
            // We are known to be another one.
            (&[(10, Never), (20, At(0)), (30, Us(0))], "no a@15 b@15 us@15", "no a@15 b@15 us@15"),
            (&[(10, Broken(0)), (20, At(1)), (30, Us(2))], "no a@0 b@1 us@3", "no a@0 b@2 us@2"),
            (&[(10, At(0)), (20, At(0))], "a@0 b@0", "a@0 b@0"),
        ];
        for &(hosts, stranger, passed_on) in cases {
            assert_eq!(walk(hosts, false, 0).await, stranger);
            assert_eq!(walk(hosts, true, 0).await, passed_on);
        }
    }
}
