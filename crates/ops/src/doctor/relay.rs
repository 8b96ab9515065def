//! Is it an open relay? A stranger's session with every form of a recipient outside that servers have fallen for.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use kings_mail::domain::Domain;
use tokio::time::timeout;

use crate::dialogue::Dialogue;

/// How long all of it may take: a server slows down whoever asks for names that are not there.
const PATIENCE: Duration = Duration::from_secs(30);
/// Refused commands after which a server may end a session.
const FORMS_PER_SESSION: usize = 8;
/// Most lines of one reply.
const MAX_LINES: usize = 100;

/// What a form names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Somebody outside, or nobody: to be refused, whoever is here.
    Outside,
    /// An odd name in a domain of ours: where a catch-all takes all names, it takes this one.
    Local,
}

/// What is said behind `RCPT`; `here.example` stands for a domain of ours, `mx.here.example` for the host, `192.0.2.25` for
/// its address. The table of the tests, but for the names that live here.
const FORMS: &[(&str, Kind)] = &[
    ("TO:<joe@other.example>", Kind::Outside),
    ("TO: <joe@other.example>", Kind::Outside),
    ("TO:<joe@OTHER.EXAMPLE>", Kind::Outside),
    ("TO:<joe@other.example.>", Kind::Outside),
    ("TO:<joe@here.example.other.example>", Kind::Outside),
    ("TO:<joe@other.here.example>", Kind::Outside),
    ("TO:<joe@nothere.example>", Kind::Outside),
    ("TO:<joe@example>", Kind::Outside),
    ("TO:<joe@localhost>", Kind::Outside),
    ("TO:<joe%other.example@here.example>", Kind::Local),
    ("TO:<joe%other.example@mx.here.example>", Kind::Outside),
    ("TO:<joe%other.example>", Kind::Outside),
    ("TO:<joe%other.example@>", Kind::Outside),
    ("TO:<joe%other.example@[192.0.2.25]>", Kind::Outside),
    ("TO:<joe%other.example%here.example@here.example>", Kind::Local),
    ("TO:<other.example!joe>", Kind::Outside),
    ("TO:<other.example!joe@here.example>", Kind::Local),
    ("TO:<other.example!joe@[192.0.2.25]>", Kind::Outside),
    ("TO:<here.example!other.example!joe>", Kind::Outside),
    ("TO:<joe=other.example@here.example>", Kind::Local),
    ("TO:<joe#other.example@here.example>", Kind::Local),
    ("TO:<@here.example:joe@other.example>", Kind::Outside),
    ("TO:<@here.example,@x.example:joe@other.example>", Kind::Outside),
    ("TO:<@[192.0.2.25]:joe@other.example>", Kind::Outside),
    ("TO:<@localhost:joe@other.example>", Kind::Outside),
    ("TO:<@other.example:joe%other.example@here.example>", Kind::Local),
    ("TO:<@here.example:@x.example:joe@other.example>", Kind::Outside),
    ("TO:<@here.example:other.example!joe>", Kind::Outside),
    ("TO:<@other.example:>", Kind::Outside),
    ("TO:<\"joe@other.example\">", Kind::Outside),
    ("TO:<\"joe@other.example\"@here.example>", Kind::Local),
    ("TO:<\"joe@other.example\"@[192.0.2.25]>", Kind::Outside),
    ("TO:<\"joe%other.example\">", Kind::Outside),
    ("TO:<\"joe%other.example\"@here.example>", Kind::Local),
    ("TO:<\"joe\\@other.example\"@here.example>", Kind::Local),
    ("TO:<\"ann@here.example\"@other.example>", Kind::Outside),
    ("TO:<\"ann\"@here.example\"@other.example>", Kind::Outside),
    ("TO:<\"@here.example:joe\"@other.example>", Kind::Outside),
    ("TO:<joe@other.example>@here.example>", Kind::Outside),
    ("TO:<\"joe@other.example> x\"@here.example>", Kind::Local),
    ("TO:<joe@other.example@here.example>", Kind::Outside),
    ("TO:<joe@here.example@other.example>", Kind::Outside),
    ("TO:<joe@other.example,ann@here.example>", Kind::Outside),
    ("TO:<joe@other.example> <ann@here.example>", Kind::Outside),
    ("TO:<joe@other.example><ann@here.example>", Kind::Outside),
    ("TO:<<joe@other.example>@here.example>", Kind::Outside),
    ("TO:<joe@other.example", Kind::Outside),
    ("TO:joe@other.example", Kind::Outside),
    ("TO:joe@other.example>", Kind::Outside),
    ("TO:<joe(@here.example)@other.example>", Kind::Outside),
    ("TO:<joe@other.example(@here.example)>", Kind::Outside),
    ("TO:<joe\t@other.example>", Kind::Outside),
    ("TO:<joe @other.example>", Kind::Outside),
    ("TO:<joe\0@other.example>", Kind::Outside),
    ("TO:<ann@here.example\r>", Kind::Outside),
    ("TO:<joe@[192.0.2.99]>", Kind::Outside),
    ("TO:<joe@[IPv6:::1]>", Kind::Outside),
    ("TO:<joe@other.example> NOTIFY=NEVER ORCPT=rfc822;ann@here.example", Kind::Outside),
    ("TO:<=?utf-8?q?joe=40other.example=3e=20?=@here.example>", Kind::Local),
    ("TO:<joe\u{ff20}other.example>", Kind::Outside),
    ("TO:<joe\u{ff20}other.example@here.example>", Kind::Outside),
    ("TO:<joe@here.example\u{3002}other.example>", Kind::Outside),
    ("TO:<joe@here\u{ad}.example>", Kind::Outside),
    ("TO:<joe@h\u{435}re.example>", Kind::Outside),
    ("TO:<j\u{f6}@other.example>", Kind::Outside),
];

/// Who it is said to come from: some servers trust nobody, their own people, or themselves.
const SENDERS: [&str; 4] = ["<joe@elsewhere.example>", "<>", "<ann@here.example>", "<root@localhost>"];

/// The sender that nobody may refuse for its domain (RFC 5321 §4.5.5).
const NOBODY: &str = "<>";

/// Whom a stranger would ask.
#[derive(Clone, Debug)]
pub struct Target {
    /// Port 25 at an address that is not loopback.
    pub address: SocketAddr,
    /// Where the stranger comes from: an address of this machine, but not one that is trusted.
    pub from: IpAddr,
    /// The server's name.
    pub hostname: Domain,
    /// A domain of ours.
    pub domain: Domain,
    /// Some domain takes every name.
    pub has_catch_all: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of so many forms were refused.
    Refused(usize),
    /// This one was taken, from this sender.
    Taken(String),
    /// The server did not go on, and why.
    Unfinished(String),
}

/// Tries all forms. No message is ever begun, so that nothing can be queued.
pub async fn try_all(target: &Target) -> Outcome {
    match timeout(PATIENCE, sessions(target)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => Outcome::Unfinished(error.to_string()),
        Err(_) => Outcome::Unfinished(format!("not done within {} s", PATIENCE.as_secs())),
    }
}

async fn sessions(target: &Target) -> std::io::Result<Outcome> {
    // A stranger who is put off may be served another time: that proves nothing.
    let mut put_off: Option<(usize, String)> = None;
    let said = |text: &str| {
        // The name of a stranger ends in the same letters.
        text.replace("elsewhere.example", "elsewhere.invalid")
            .replace("mx.here.example", target.hostname.as_str())
            .replace("here.example", target.domain.as_str())
            .replace("192.0.2.25", &target.address.ip().to_string())
    };
    for (number, forms) in FORMS.chunks(FORMS_PER_SESSION).enumerate() {
        let sender = said(SENDERS[number % SENDERS.len()]);
        let mut client = Client(Dialogue::connect_from(target.from, target.address).await?);
        client.reply().await?;
        client.say("EHLO stranger.example").await?;
        for (form, kind) in forms {
            client.say("RSET").await?;
            let mut from = sender.as_str();
            let mut reply = client.say(&format!("MAIL FROM:{from}")).await?;
            if reply.starts_with('5') && from != NOBODY {
                // Refused for its sender, the form itself was not tried.
                from = NOBODY;
                reply = client.say(&format!("MAIL FROM:{from}")).await?;
            }
            let recipient = said(form);
            let is_tried = reply.starts_with('2');
            if is_tried {
                reply = client.say(&format!("RCPT {recipient}")).await?;
            }
            if is_tried && reply.starts_with('2') {
                if *kind == Kind::Outside || !target.has_catch_all {
                    client.say("RSET").await?;
                    return Ok(Outcome::Taken(format!("RCPT {recipient} after MAIL FROM:{from}")));
                }
            } else if !(is_tried && reply.starts_with('5')) {
                put_off.get_or_insert((0, reply)).0 += 1;
            }
        }
        // It is about to go anyway.
        let _ = client.say("QUIT").await;
    }
    Ok(match put_off {
        None => Outcome::Refused(FORMS.len()),
        Some((count, reply)) => Outcome::Unfinished(format!(
            "{count} of {} forms were put off, the first with: {reply}",
            FORMS.len()
        )),
    })
}

struct Client(Dialogue);

impl Client {
    async fn say(&mut self, line: &str) -> std::io::Result<String> {
        self.0.say(format!("{line}\r\n").as_bytes()).await?;
        self.reply().await
    }

    /// The last line of a reply.
    async fn reply(&mut self) -> std::io::Result<String> {
        for _ in 0..MAX_LINES {
            let line = self.0.line().await?;
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(line);
            }
        }
        Err(std::io::Error::other("a reply without end"))
    }
}

#[cfg(test)]
#[path = "../../../smtp/tests/forms/mod.rs"]
mod forms;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn every_form_of_the_tests_is_tried() {
        let wanted = super::forms::FORMS.iter().filter(|(_, expected)| *expected != super::forms::OK);
        let wanted: Vec<(&str, bool)> =
            wanted.map(|(form, expected)| (*form, *expected == super::forms::UNKNOWN)).collect();
        let tried: Vec<(&str, bool)> =
            FORMS.iter().map(|(form, kind)| (*form, *kind == Kind::Local)).collect();
        assert_eq!(tried, wanted);
        assert_eq!(SENDERS, super::forms::SENDERS);
    }

    /// A server that takes recipients that hold this text, and never says that it is to go on with a message.
    async fn server(takes: &'static str) -> Target {
        server_that(move |said| {
            let refused = said.starts_with("RCPT") && (takes.is_empty() || !said.contains(takes));
            if refused { "550 5.7.1 no\r\n" } else { "250-2.1.5\r\n250 2.1.5 yes\r\n" }
        })
        .await
    }

    async fn server_that(replies: impl Fn(&str) -> &'static str + Send + 'static) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let mut socket = BufReader::new(socket);
                socket.write_all(b"220 mx ESMTP\r\n").await.unwrap();
                let mut line = Vec::new();
                while socket.read_until(b'\n', &mut line).await.unwrap_or(0) > 0 {
                    let said = String::from_utf8_lossy(&line).into_owned();
                    assert!(!said.starts_with("DATA"), "nothing may be queued");
                    socket.write_all(replies(&said).as_bytes()).await.unwrap();
                    line.clear();
                }
            }
        });
        Target {
            address,
            from: IpAddr::from([127, 0, 0, 1]),
            hostname: Domain::parse("mail.example.org").unwrap(),
            domain: Domain::parse("example.org").unwrap(),
            has_catch_all: false,
        }
    }

    #[tokio::test]
    async fn one_form_that_is_taken_is_enough_and_is_quoted() {
        assert_eq!(try_all(&server("").await).await, Outcome::Refused(FORMS.len()));
        let open = try_all(&server("@other.example>").await).await;
        let said = "RCPT TO:<joe@other.example> after MAIL FROM:<joe@elsewhere.invalid>";
        assert_eq!(open, Outcome::Taken(said.into()));
        // A percent sign in a name of ours is a way out, unless every name is taken here.
        let mut percent = server("joe%other.example@example.org").await;
        assert!(matches!(try_all(&percent).await, Outcome::Taken(_)));
        percent.has_catch_all = true;
        assert_eq!(try_all(&percent).await, Outcome::Refused(FORMS.len()));
        // Whoever is put off was not refused; and what is refused for its sender is asked from nobody.
        for (command, reply) in
            [("RCPT", "451 4.7.1 later\r\n"), ("MAIL", "421 4.7.0 busy\r\n"), ("MAIL", "550 no\r\n")]
        {
            let shy = server_that(move |said| if said.starts_with(command) { reply } else { "250 yes\r\n" });
            let Outcome::Unfinished(why) = try_all(&shy.await).await else { panic!("{command} {reply}") };
            assert!(
                why.starts_with("65 of 65 forms were put off") && why.ends_with(reply.trim_end()),
                "{why}"
            );
        }
        let picky = server_that(|said| match said {
            said if said.starts_with("MAIL FROM:<joe@elsewhere") => "550 no such domain\r\n",
            said if said.starts_with("RCPT TO:<joe@other.example>") => "250 yes\r\n",
            said if said.starts_with("RCPT") => "550 no\r\n",
            _ => "250 yes\r\n",
        });
        let said = "RCPT TO:<joe@other.example> after MAIL FROM:<>";
        assert_eq!(try_all(&picky.await).await, Outcome::Taken(said.into()));
        let nobody = Target { address: "127.0.0.1:1".parse().unwrap(), ..percent };
        assert!(matches!(try_all(&nobody).await, Outcome::Unfinished(_)));
    }
}
