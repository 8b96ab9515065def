//! A whole visit to a listener: its greeting, what it offers, its TLS, and what it offers then.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use kings_mail::domain::Domain;
use kings_net::Place;
use kings_tls::ClientTls;

use super::{MAX_LINES, PortError, Shown, expect, handshake, reachable};
use crate::dialogue::Dialogue;

/// What a client has met.
#[derive(Clone, Debug)]
pub struct Visit {
    /// The first line of the server; of one that waits for the client, its first answer.
    pub greeting: String,
    /// What it offers at last: the lines of EHLO, CAPABILITY or CAPA, under TLS where there is TLS.
    pub offers: Vec<String>,
    /// The handshake, where the listener has TLS.
    pub tls: Option<Shown>,
    /// From the first packet to the last answer.
    pub took: Duration,
}

/// What is spoken at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speech {
    Smtp,
    Lmtp,
    Imap,
    Pop3,
    Http,
    /// Dovecot's protocol for logins.
    Auth,
}

/// When TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Security {
    Never,
    First,
    Asked,
}

/// How a listener is spoken to, by its key in `[listen]`.
fn manner(listener: &str) -> Option<(Speech, Security)> {
    Some(match listener {
        "smtp" | "submission" => (Speech::Smtp, Security::Asked),
        "submissions" => (Speech::Smtp, Security::First),
        "lmtp" => (Speech::Lmtp, Security::Never),
        "auth" => (Speech::Auth, Security::Never),
        "imap" => (Speech::Imap, Security::Asked),
        "imaps" => (Speech::Imap, Security::First),
        "pop3" => (Speech::Pop3, Security::Asked),
        "pop3s" => (Speech::Pop3, Security::First),
        "http" => (Speech::Http, Security::Never),
        "https" => (Speech::Http, Security::First),
        _ => return None,
    })
}

/// Connects to a listener of this machine as a client does, and leaves politely. `None` where nothing is known of what it
/// speaks.
pub async fn visit(
    place: &Place,
    listener: &str,
    hostname: &Domain,
    tls: &ClientTls,
) -> Option<Result<Visit, PortError>> {
    let (speech, security) = manner(listener)?;
    let began = Instant::now();
    let visited = async {
        let mut dialogue = connect(place).await?;
        let mut shown = None;
        if security == Security::First {
            let (secured, seen) = handshake(dialogue, hostname, tls).await?;
            (dialogue, shown) = (secured, Some(seen));
        }
        let greeting = greet(&mut dialogue, speech, hostname).await?;
        let mut offers = ask(&mut dialogue, speech).await?;
        if security == Security::Asked {
            start_tls(&mut dialogue, speech).await?;
            let (secured, seen) = handshake(dialogue, hostname, tls).await?;
            (dialogue, shown) = (secured, Some(seen));
            offers = ask(&mut dialogue, speech).await?;
        }
        leave(&mut dialogue, speech).await;
        Ok(Visit { greeting, offers, tls: shown, took: began.elapsed() })
    };
    Some(visited.await)
}

/// A listener for all addresses of IPv6 takes IPv4 as well, and a machine without IPv6 has no `::1`.
async fn connect(place: &Place) -> Result<Dialogue, PortError> {
    let address = match place {
        Place::Unix(path) => return Ok(Dialogue::connect_unix(path).await?),
        Place::Tcp(address) => *address,
    };
    let is_everywhere = matches!(address.ip(), IpAddr::V6(ip) if ip.is_unspecified());
    match Dialogue::connect(reachable(address)).await {
        Err(_) if is_everywhere => {
            Ok(Dialogue::connect(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port())).await?)
        }
        tried => Ok(tried?),
    }
}

/// Hears the greeting; a web server waits for a question.
async fn greet(dialogue: &mut Dialogue, speech: Speech, hostname: &Domain) -> Result<String, PortError> {
    let start = match speech {
        Speech::Smtp | Speech::Lmtp => "220",
        Speech::Imap => "* OK",
        Speech::Pop3 => "+OK",
        Speech::Auth => "VERSION\t",
        Speech::Http => {
            let request = format!("HEAD / HTTP/1.1\r\nHost: {hostname}\r\nConnection: close\r\n\r\n");
            dialogue.say(request.as_bytes()).await?;
            "HTTP/1."
        }
    };
    for _ in 0..MAX_LINES {
        let line = dialogue.line().await?;
        let is_smtp = matches!(speech, Speech::Smtp | Speech::Lmtp);
        let has_more = is_smtp && line.as_bytes().get(3) == Some(&b'-');
        expect(line.clone(), start)?;
        if !has_more {
            return Ok(line);
        }
    }
    Err(PortError::Refused("a greeting without end".to_owned()))
}

/// What is offered. Where nothing is offered by name the list is empty.
async fn ask(dialogue: &mut Dialogue, speech: Speech) -> Result<Vec<String>, PortError> {
    match speech {
        // The visitor is this machine, and must not claim to be another one.
        Speech::Smtp => replies(dialogue, "EHLO localhost").await,
        Speech::Lmtp => replies(dialogue, "LHLO localhost").await,
        Speech::Imap => {
            dialogue.say(b"a CAPABILITY\r\n").await?;
            let line = dialogue.line().await?;
            expect(line.clone(), "* CAPABILITY ")?;
            expect(dialogue.line().await?, "a OK")?;
            Ok(line.split(' ').skip(2).map(str::to_owned).collect())
        }
        Speech::Pop3 => {
            dialogue.say(b"CAPA\r\n").await?;
            expect(dialogue.line().await?, "+OK")?;
            let mut offers = Vec::new();
            while offers.len() < MAX_LINES {
                match dialogue.line().await? {
                    end if end == "." => return Ok(offers),
                    line => offers.push(line),
                }
            }
            Err(PortError::Refused("a list without end".to_owned()))
        }
        Speech::Http | Speech::Auth => Ok(Vec::new()),
    }
}

/// A command of SMTP, and the lines of its reply behind the first.
async fn replies(dialogue: &mut Dialogue, command: &str) -> Result<Vec<String>, PortError> {
    dialogue.say(format!("{command}\r\n").as_bytes()).await?;
    let mut lines = Vec::new();
    while lines.len() < MAX_LINES {
        let line = dialogue.line().await?;
        let is_last = line.as_bytes().get(3) != Some(&b'-');
        expect(line.clone(), "250")?;
        lines.push(line.get(4..).unwrap_or_default().to_owned());
        if is_last {
            return Ok(lines.split_off(1));
        }
    }
    Err(PortError::Refused("a reply without end".to_owned()))
}

async fn start_tls(dialogue: &mut Dialogue, speech: Speech) -> Result<(), PortError> {
    let (command, answer) = match speech {
        Speech::Imap => ("a STARTTLS", "a OK"),
        Speech::Pop3 => ("STLS", "+OK"),
        Speech::Smtp | Speech::Lmtp | Speech::Http | Speech::Auth => ("STARTTLS", "220"),
    };
    dialogue.say(format!("{command}\r\n").as_bytes()).await?;
    expect(dialogue.line().await?, answer)
}

/// The visit was a success before this.
async fn leave(dialogue: &mut Dialogue, speech: Speech) {
    let farewell: &[u8] = match speech {
        Speech::Smtp | Speech::Lmtp | Speech::Pop3 => b"QUIT\r\n",
        Speech::Imap => b"a LOGOUT\r\n",
        Speech::Http | Speech::Auth => return,
    };
    let _ = dialogue.say(farewell).await;
    let _ = dialogue.line().await;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that says these lines, each but the first after something was said to it.
    async fn server(lines: &'static [&'static str]) -> Place {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = Place::Tcp(listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut heard = [0; 1_000];
            for (number, line) in lines.iter().enumerate() {
                if number > 0 && socket.read(&mut heard).await.unwrap() == 0 {
                    return;
                }
                socket.write_all(line.as_bytes()).await.unwrap();
            }
        });
        place
    }

    async fn visited(place: &Place, listener: &str) -> Option<Result<Visit, String>> {
        let hostname = Domain::parse("mail.example.org").unwrap();
        let tls = ClientTls::with_authorities(&kings_tls::Authorities::default());
        Some(visit(place, listener, &hostname, &tls).await?.map_err(|error| error.to_string()))
    }

    #[tokio::test]
    async fn a_visitor_hears_the_greeting_and_what_is_offered() {
        let lmtp = server(&[
            "220 mail.example.org LMTP\r\n",
            "250-mail.example.org\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
            "221 bye\r\n",
        ]);
        let seen = visited(&lmtp.await, "lmtp").await.unwrap().unwrap();
        assert_eq!(seen.greeting, "220 mail.example.org LMTP");
        assert_eq!(seen.offers, ["PIPELINING", "8BITMIME"]);
        assert!(seen.tls.is_none());
        let web = server(&["", "HTTP/1.1 308 Permanent Redirect\r\n\r\n"]).await;
        assert_eq!(visited(&web, "http").await.unwrap().unwrap().greeting, "HTTP/1.1 308 Permanent Redirect");
    }

    #[tokio::test]
    async fn whoever_says_something_else_or_nothing_is_told_of_in_its_own_words() {
        for (listener, lines, complaint) in [
            ("lmtp", &["421 4.3.2 not now\r\n"][..], "the server said \"421 4.3.2 not now\""),
            (
                "smtp",
                &["220 mx\r\n", "250 mx\r\n", "454 4.7.0 no TLS\r\n"],
                "the server said \"454 4.7.0 no TLS\"",
            ),
            ("imap", &["* BYE too many\r\n"], "the server said \"* BYE too many\""),
            ("pop3", &["+OK\r\n", "-ERR what?\r\n"], "the server said \"-ERR what?\""),
            ("auth", &["220 mx\r\n"], "the server said \"220 mx\""),
            ("smtp", &[], "unexpected end of file"),
        ] {
            let refused = visited(&server(lines).await, listener).await.unwrap().unwrap_err();
            assert_eq!(refused, complaint, "{listener}");
        }
        let nobody = Place::Tcp("127.0.0.1:1".parse().unwrap());
        assert!(visited(&nobody, "smtp").await.unwrap().is_err());
        assert!(visited(&nobody, "managesieve").await.is_none());
    }
}
