//! Notifications as they read, and as hostile text would like them to read.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::parts::returned_header;
use super::*;
use crate::entry::Head;
use crate::schedule::LIFETIME;
use kings_mail::id::TraceId;
use kings_mail::mime;
use kings_mail::report::{EnvelopeId, Notify, OriginalRecipient};

fn unsettled(reverse_path: &str, recipient: &str) -> Entry {
    let head = Head {
        id: TraceId::new(1, 2),
        arrived: 0,
        envelope: crate::testing::envelope(reverse_path, &[recipient]),
        content_length: 0,
        content_checksum: 0,
    };
    Entry::new(head, 0, 0)
}

fn entry(reverse_path: &str, recipient: &str, report: Report) -> Entry {
    let mut entry = unsettled(reverse_path, recipient);
    entry.apply(&Record { at: 60, recipient: 0, fact: Fact::Failed(report) }).unwrap();
    entry
}

fn said(reply: &str) -> Report {
    Report { status: Status(5, 1, 1), remote: Some("mx.elsewhere.example".into()), reply: reply.into() }
}

const NOW: Moment = Moment { wall: 120, steady_since: 0, uptime: 0 };

fn notification(entry: &Entry, occasion: Occasion, excerpt: Excerpt) -> Option<Notification> {
    let hostname = Domain::parse("mx.example.org").unwrap();
    let lifetime = LIFETIME;
    let operator = (entry.reverse_path == ReversePath::Null).then_some(&ForwardPath::Postmaster);
    build(&Notice {
        entry,
        occasion,
        places: &[0],
        excerpt,
        hostname: &hostname,
        lifetime,
        now: NOW,
        operator,
    })
}

fn bounce(entry: &Entry, beginning: &[u8]) -> Option<Notification> {
    notification(entry, Occasion::Failure, Excerpt::Beginning(beginning.to_vec()))
}

fn text_of(notification: Notification) -> String {
    String::from_utf8(notification.content).unwrap()
}

/// What people and programs read, case by case: the files beside this one. `UPDATE=1` writes them anew; then read the diff.
#[test]
fn the_whole_report_reads_like_this() {
    use Occasion::{Delay, Failure, Success};
    let report = |status, remote: Option<&str>, reply: &str| Report {
        status,
        remote: remote.map(str::to_owned),
        reply: reply.to_owned(),
    };
    let mx = Some("mx.elsewhere.example[192.0.2.7]");
    let failed = |status, remote, reply: &str| Fact::Failed(report(status, remote, reply));
    let done = |handover| Fact::Delivered(handover, report(Status::DONE, mx, "250 2.0.0 Ok: queued as 4F2A"));
    let refused = "connect to mx.elsewhere.example[192.0.2.7]: Connection refused";
    let (ann, joe, soren) = ("ann@example.org", "joe@elsewhere.example", "søren@elsewhere.example");
    let loops = "mail loops back to this server, which does not host the domain: mx.elsewhere.example[192.0.2.7] has its address";
    let cases = [
        ("unknown", ann, joe, Failure, failed(Status(5, 1, 1), mx, "550 5.1.1 No such user")),
        (
            "no_domain",
            ann,
            joe,
            Failure,
            failed(Status(5, 1, 2), None, "elsewhere.example does not exist or takes no mail"),
        ),
        ("full", ann, joe, Failure, failed(Status(5, 2, 2), mx, "552 5.2.2 Mailbox full")),
        ("too_large", ann, joe, Failure, failed(Status(5, 3, 4), mx, "552 5.3.4 Message too big")),
        (
            "requiretls",
            ann,
            joe,
            Failure,
            failed(
                Status(5, 7, 30),
                None,
                "the message cannot be given to mx.elsewhere.example[192.0.2.7]: it does not offer REQUIRETLS, which the \
                 sender asks for",
            ),
        ),
        ("loop", ann, joe, Failure, failed(Status(5, 4, 6), None, loops)),
        (
            "refused",
            ann,
            joe,
            Failure,
            failed(Status(5, 7, 1), mx, "550 5.7.1 Looks like spam, see https://elsewhere.example/why"),
        ),
        ("expired", ann, joe, Failure, failed(Status::EXPIRED, mx, "451 4.7.1 Come back later")),
        ("unclear", ann, joe, Failure, failed(Status(5, 0, 0), mx, "554 No")),
        ("here", ann, joe, Failure, failed(Status(5, 1, 1), Some("/run/dovecot/lmtp"), "550 5.1.1 Unknown")),
        (
            "literal",
            ann,
            joe,
            Failure,
            failed(Status(5, 1, 1), Some("192.0.2.7[192.0.2.7]"), "550 5.1.1 Unknown"),
        ),
        ("utf8", ann, soren, Failure, failed(Status(5, 1, 1), mx, "550 5.1.1 Findes ikke: søren")),
        ("no_sender", "", joe, Failure, failed(Status(5, 1, 1), mx, "550 5.1.1 No such user")),
        (
            "late",
            ann,
            joe,
            Delay,
            Fact::Deferred { report: report(Status(4, 4, 1), None, refused), next: 400 },
        ),
        ("in_mailbox", ann, joe, Success, done(Handover::Mailbox)),
        ("relayed", ann, joe, Success, done(Handover::Relayed)),
        ("expanded", ann, joe, Success, done(Handover::Expanded)),
    ];
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/notification/reports");
    for (name, sender, recipient, occasion, fact) in cases {
        let mut entry = unsettled(sender, recipient);
        entry.parameters.envelope_id = EnvelopeId::parse("QQ314159");
        entry.recipients[0].addressed.original = OriginalRecipient::parse("rfc822;sales@example.com");
        entry.apply(&Record { at: 60, recipient: 0, fact }).unwrap();
        let message = b"From: ann@example.org\r\nMessage-ID: <1@example.org>\r\nSubject: hi\r\n\r\nbody\r\n";
        let report = notification(&entry, occasion, Excerpt::Beginning(message.to_vec())).unwrap();
        let envelope = report.envelope();
        assert_eq!((&envelope.reverse_path, envelope.recipients.len()), (&ReversePath::Null, 1));
        let text = String::from_utf8(report.content).unwrap().replace("\r\n", "\n");
        let file = folder.join(format!("{name}.eml"));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap_or_default(), text, "{name}");
    }
}

/// Only a Message-ID that is nothing else gets into the header of a report.
#[test]
fn a_report_names_the_message_that_it_is_about() {
    let entry = entry("ann@example.org", "joe@elsewhere.example", said("550 no"));
    let long = format!("<{}@example.org>", "x".repeat(300));
    let cases = [
        ("<1@example.org>", true),
        (" <a.b-c+d=e_f@[192.0.2.1]>", true),
        ("<1>", false),
        ("1@example.org", false),
        ("<1@example.org> <2@example.org>", false),
        ("<1@example.org>\r\n\tBcc: eve@example.org", false),
        ("<1(x)@example.org>", false),
        ("<\"a b\"@example.org>", false),
        ("<ü@example.org>", false),
        (long.as_str(), false),
    ];
    for (id, is_named) in cases {
        let text = text_of(bounce(&entry, format!("Message-ID: {id}\r\n\r\n").as_bytes()).unwrap());
        let (header, _) = text.split_once("\r\n\r\n").unwrap();
        let expected = format!("\r\nIn-Reply-To: {0}\r\nReferences: {0}\r\n", id.trim());
        assert_eq!(header.contains(&expected), is_named, "{header}");
        assert_eq!(header.contains("In-Reply-To") || header.contains("Bcc"), is_named, "{header}");
    }
}

#[test]
fn a_message_without_a_sender_is_the_postmasters() {
    let null = entry("", "joe@elsewhere.example", said("550 no"));
    let notice = bounce(&null, b"").unwrap();
    assert_eq!(notice.forward_path, ForwardPath::Postmaster);
    assert!(String::from_utf8(notice.content).unwrap().contains("\r\nTo: <postmaster@mx.example.org>\r\n"));
    let notice_failed = entry("", "postmaster", said("550 no"));
    assert_eq!(bounce(&notice_failed, b""), None, "and there it ends");
    // Also where the postmaster's mail is read elsewhere, and it is from there that the report comes back.
    let forwarded = entry("", "admin@elsewhere.example", said("550 no"));
    let of = |id: &str| bounce(&forwarded, format!("Message-ID: <{id}>\r\n\r\n").as_bytes()).is_some();
    assert!(!of("1-2.1.2bounce@mx.example.org") && !of("1-2.1.copy@mx.example.org"));
    assert!(of("1-2.1.bounce@mx.example.org") && of("1-2.1.2bounce@mx.elsewhere.example"));
}

#[test]
fn a_copy_for_the_postmaster_returns_the_header_and_gives_no_advice() {
    let mut sent = entry("ann@example.org", "joe@elsewhere.example", said("550 no"));
    sent.parameters.ret = Some(Return::Full);
    let hostname = Domain::parse("mx.example.org").unwrap();
    let excerpt = Excerpt::Whole(b"Subject: x\r\n\r\nsecret\r\n".to_vec());
    let (occasion, lifetime) = (Occasion::Failure, LIFETIME);
    let notice = Notice {
        entry: &sent,
        occasion,
        places: &[0],
        excerpt,
        hostname: &hostname,
        lifetime,
        now: NOW,
        operator: None,
    };
    let to_sender = text_of(build(&notice).unwrap());
    assert!(to_sender.contains("secret") && !to_sender.contains("copy"), "{to_sender}");
    let copy = build(&notice.for_operator(&ForwardPath::Postmaster)).unwrap();
    assert_eq!(copy.forward_path, ForwardPath::Postmaster);
    let copy = text_of(copy);
    assert!(copy.contains("\r\nSubject: Postmaster copy: a message could not be delivered\r\n"), "{copy}");
    assert!(copy.contains("Subject: x") && copy.contains(".copy@mx.example.org>"), "{copy}");
    assert!(!copy.contains("secret") && !copy.contains("If you need help"), "{copy}");
}

#[test]
fn an_expired_message_says_how_long_it_was_tried() {
    let report = Report { status: Status::EXPIRED, ..said("451 4.7.1 Come back later") };
    let text = bounce(&entry("ann@example.org", "joe@elsewhere.example", report), b"").unwrap().content;
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.contains("tried for 5 days. At the last attempt, the server mx.elsewhere.example said:\r\n")
    );
    assert!(text.contains("\r\nStatus: 4.4.7\r\n"), "{text}");
}

#[test]
fn utf8_uses_the_global_types_and_asks_for_what_it_needs() {
    let mut entry = entry("jürgen@example.org", "søren@elsewhere.example", said("550 nej"));
    entry.parameters.smtputf8 = true;
    let bounce = bounce(&entry, "Subject: Grüße\r\n\r\n".as_bytes()).unwrap();
    assert_eq!(
        (bounce.parameters.body, bounce.parameters.smtputf8),
        (Body::EightBitMime, true),
        "its reader has such a name"
    );
    let text = String::from_utf8(bounce.content).unwrap();
    for expected in ["message/global-delivery-status\r\n", "message/global-headers\r\n"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let (_, parts) = text.split_once("\r\n\r\n").unwrap();
    assert!(parts.is_ascii(), "only its own header is more than 7-bit: {parts}");
    let read = decoded(text.as_bytes());
    assert!(read[1].contains("utf-8; søren@") && read[2].contains("Grüße"), "{read:?}");
}

#[test]
fn raw_8_bit_headers_are_encoded_and_not_called_utf8() {
    let entry = entry("ann@example.org", "joe@elsewhere.example", said("550 no"));
    let bounce = bounce(&entry, b"Subject: Gr\xfc\xdfe\r\n\r\n").unwrap();
    assert_eq!((bounce.parameters.body, bounce.parameters.smtputf8), (Body::SevenBit, false));
    let text = String::from_utf8(bounce.content).unwrap();
    assert!(text.contains("text/rfc822-headers\r\nContent-Transfer-Encoding: "), "{text}");
    let root = mime::parse(text.as_bytes());
    let returned = root.find(&[3]).unwrap().content(text.as_bytes());
    assert_eq!(&*returned, b"Subject: Gr\xfc\xdfe\r\n");
}

/// What each part of a report says, without its encoding.
fn decoded(report: &[u8]) -> Vec<String> {
    let root = mime::parse(report);
    let parts = (1..).map_while(|number| root.find(&[number]));
    parts
        .map(|part| String::from_utf8(part.encoding.decode(&report[part.body.clone()]).into_owned()).unwrap())
        .collect()
}

/// RFC 6522 §1: a report has to get through where the message did not.
#[test]
fn whatever_it_tells_about_a_report_is_7_bit() {
    let words = "550 5.1.1 gibt es nicht: søren";
    let contents: [&[u8]; 5] = [
        MESSAGE,
        "Subject: x\r\n\r\nGrüße\r\n".as_bytes(),
        "Subject: Grüße\r\n\r\nhallo\r\n".as_bytes(),
        b"Subject: Gr\xfc\xdfe\r\n\r\nGr\xfc\xdfe\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xfc\r\n--b--\r\n",
    ];
    for (content, smtputf8, to) in contents.into_iter().flat_map(|content| {
        [(content, false, "joe@elsewhere.example"), (content, true, "søren@elsewhere.example")]
    }) {
        let mut entry = entry("ann@example.org", to, said(words));
        entry.parameters.smtputf8 = smtputf8;
        entry.parameters.ret = Some(Return::Full);
        let mut done = entry.clone();
        let fact = Fact::Delivered(Handover::Relayed, said("250 schön"));
        done.apply(&Record { at: 70, recipient: 0, fact }).unwrap();
        let excerpts = [Excerpt::Whole(content.to_vec()), Excerpt::Beginning(content.to_vec())];
        for excerpt in excerpts {
            for (entry, occasion) in
                [(&entry, Occasion::Failure), (&entry, Occasion::Delay), (&done, Occasion::Success)]
            {
                let report = notification(entry, occasion, excerpt.clone()).unwrap();
                let text = String::from_utf8_lossy(&report.content).into_owned();
                assert!(report.content.is_ascii(), "{occasion:?}: {text}");
                assert_eq!((report.parameters.body, report.parameters.smtputf8), (Body::SevenBit, false));
            }
        }
    }
}

#[test]
fn a_message_with_8_bit_parts_comes_back_readable() {
    let mut entry = asking(Some(Return::Full));
    let whole = |entry: &Entry, content: &[u8]| {
        text_of(notification(entry, Occasion::Failure, Excerpt::Whole(content.to_vec())).unwrap())
    };
    let text = whole(&entry, "Subject: x\r\n\r\nGrüße an alle, die es lesen\r\n".as_bytes());
    assert!(text.contains("message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n"), "{text}");
    assert!(text.contains("\r\nGr=C3=BC=C3=9Fe an alle, die es lesen\r\n"), "{text}");
    // What cannot be encoded is not returned whole.
    let text = whole(&entry, b"Subject: Gr\xfc\xdfe\r\n\r\nx\r\n");
    assert!(text.contains("cannot be returned whole") && text.contains("text/rfc822-headers"), "{text}");
    entry.parameters.smtputf8 = true;
    let text = whole(&entry, "Subject: Grüße\r\n\r\nhallo\r\n".as_bytes());
    assert!(decoded(text.as_bytes())[2].ends_with("Subject: Grüße\r\n\r\nhallo\r\n"), "{text}");
}

#[test]
fn hostile_headers_and_replies_stay_in_their_part() {
    let id = TraceId::new(1, 2);
    let reply = format!("550 no\r\n\r\n--{id}-report\r\nContent-Type: text/html\r\n\r\n<script>");
    let entry = entry("ann@example.org", "joe@elsewhere.example", said(&reply));
    let long = "x".repeat(5_000);
    let header = format!("--{id}-report--\r\nA: b\rc\0d\nX: {long}\r\n\r\n--{id}-report\r\n");
    let content = bounce(&entry, header.as_bytes()).unwrap().content;
    let text = String::from_utf8(content).unwrap();
    let boundary = format!("--{id}-report-");
    assert_eq!(text.lines().filter(|line| line.starts_with(&boundary)).count(), 5, "{text}");
    assert!(text.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n', '\0'])));
    assert!(text.contains("\r\nA: bcd\r\n"), "{text}");
}

#[test]
fn a_giant_header_is_cut_at_a_line() {
    let header = "X-Long: 0123456789\r\n".repeat(10_000);
    let returned = returned_header(header.as_bytes());
    assert!(returned.len() as u64 <= MAX_RETURNED_HEADER && returned.ends_with(b"6789\r\n"));
}

const MESSAGE: &[u8] = b"From: ann@example.org\r\nSubject: hi\r\n\r\nthe body\r\n";

fn asking(ret: Option<Return>) -> Entry {
    let mut entry = entry("ann@example.org", "joe@elsewhere.example", said("550 no"));
    entry.parameters.ret = ret;
    entry.content.length = MESSAGE.len() as u64;
    entry
}

#[test]
fn the_whole_message_goes_back_only_to_a_sender_who_asked_and_only_after_a_failure() {
    let full = asking(Some(Return::Full));
    let mut null = full.clone();
    null.reverse_path = ReversePath::Null;
    let mut large = full.clone();
    large.content.length = MAX_RETURNED_MESSAGE + 1;
    let cases = [
        ("asked", &full, Occasion::Failure, true),
        ("a delay", &full, Occasion::Delay, false),
        ("a success", &full, Occasion::Success, false),
        ("HDRS", &asking(Some(Return::Headers)), Occasion::Failure, false),
        ("unsaid", &asking(None), Occasion::Failure, false),
        ("no sender", &null, Occasion::Failure, false),
        ("too large", &large, Occasion::Failure, false),
    ];
    for (case, entry, occasion, expected) in cases {
        assert_eq!(returns_whole(entry, occasion), expected, "{case}");
    }
    let text = text_of(notification(&full, Occasion::Failure, Excerpt::Whole(MESSAGE.to_vec())).unwrap());
    assert!(text.contains("No further attempt will be made. The message is attached.\r\n"), "{text}");
    let returned = "\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\nFrom: ann@example.org\r\n\
                    Subject: hi\r\n\r\nthe body\r\n\r\n--";
    assert!(text.contains(returned), "{text}");
    let text = text_of(bounce(&large, MESSAGE).unwrap());
    assert!(text.contains("cannot be returned whole, as was asked") && !text.contains("the body"), "{text}");
}

#[test]
fn a_message_that_would_break_its_frame_is_not_returned_whole() {
    let mut entry = asking(Some(Return::Full));
    let whole = |entry: &Entry, content: &[u8]| {
        text_of(notification(entry, Occasion::Failure, Excerpt::Whole(content.to_vec())).unwrap())
    };
    let long = [b"A: b\r\n\r\n".to_vec(), vec![b'x'; 999], b"\r\n".to_vec()].concat();
    for content in [&b"A: b\r\n\r\nx\ny\r\n"[..], b"A: b\r\n\r\nx\0y\r\n", b"A: b\r\n\r\nno end", &long] {
        let text = whole(&entry, content);
        assert!(text.contains("cannot be returned whole") && text.contains("text/rfc822-headers"), "{text}");
    }
    let forged = format!("A: b\r\n\r\n--{}-report--\r\nforged\r\n", entry.id);
    let text = whole(&entry, forged.as_bytes());
    let longer = format!("--{}-report---", entry.id);
    assert_eq!(text.lines().filter(|line| line.starts_with(&longer)).count(), 4, "{text}");
    entry.parameters.smtputf8 = true;
    let text = whole(&entry, "Subject: Grüße\r\n\r\nhallo\r\n".as_bytes());
    assert!(text.contains("message/global\r\nContent-Transfer-Encoding: quoted-printable\r\n"), "{text}");
}

#[test]
fn what_we_thought_of_a_message_is_not_told() {
    let entry = asking(Some(Return::Full));
    let judged = [b"X-Kings-Verdict: junk; it looks\r\n\tbad\r\n", MESSAGE].concat();
    for excerpt in [Excerpt::Whole(judged.clone()), Excerpt::Beginning(judged)] {
        let text = text_of(notification(&entry, Occasion::Failure, excerpt).unwrap());
        assert!(!text.contains("Verdict") && text.contains("\r\n\r\nFrom: ann@example.org\r\n"), "{text}");
    }
}

#[test]
fn the_sender_reads_its_own_names_in_the_fields() {
    let mut entry = asking(None);
    entry.parameters.envelope_id = EnvelopeId::parse("QQ314159");
    entry.recipients[0].addressed.original = OriginalRecipient::parse("rfc822;sales@example.com");
    let text = text_of(bounce(&entry, MESSAGE).unwrap());
    assert!(text.contains("\r\n\r\nOriginal-Envelope-Id: QQ314159\r\nReporting-MTA: "), "{text}");
    assert!(text.contains("\r\nOriginal-Recipient: rfc822;sales@example.com\r\nFinal-Recipient: "), "{text}");
}

#[test]
fn a_delay_says_until_when_and_a_success_what_became_of_it() {
    let report = Report { status: Status(4, 2, 0), ..said("450 later") };
    let mut delayed = asking(None);
    delayed.apply(&Record { at: 70, recipient: 0, fact: Fact::Deferred { report, next: 400 } }).unwrap();
    let text =
        text_of(notification(&delayed, Occasion::Delay, Excerpt::Beginning(MESSAGE.to_vec())).unwrap());
    for expected in [
        "Subject: Your message is not delivered yet\r\n",
        "it is tried until\r\nTue, 6 Jan 1970 00:00:00 +0000, and you will be told if it fails.\r\n",
        "Action: delayed\r\nStatus: 4.2.0\r\n",
        "Will-Retry-Until: Tue, 6 Jan 1970 00:00:00 +0000\r\n",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let cases = [
        (Handover::Mailbox, "delivered", "It is in the mailbox."),
        (Handover::Relayed, "relayed", "the server mx.elsewhere.example said:\r\n    250 ok"),
        (Handover::Expanded, "expanded", "those whom this address stands for"),
    ];
    for (handover, action, words) in cases {
        let mut entry = asking(None);
        let report = Report { status: Status::DONE, ..said("250 ok") };
        entry.apply(&Record { at: 70, recipient: 0, fact: Fact::Delivered(handover, report) }).unwrap();
        let text = text_of(notification(&entry, Occasion::Success, Excerpt::Beginning(vec![])).unwrap());
        assert!(text.contains(&format!("\r\nAction: {action}\r\nStatus: 2.0.0\r\n")), "{text}");
        assert!(text.contains(words), "{words}: {text}");
    }
}

/// RFC 3461 §4.1, case by case.
#[test]
fn senders_hear_what_they_asked_for_and_nothing_else() {
    let facts = [
        ("failed", Fact::Failed(said("so"))),
        ("deferred", Fact::Deferred { report: said("so"), next: 9 }),
        ("delivered", Fact::Delivered(Handover::Mailbox, said("so"))),
        ("relayed", Fact::Delivered(Handover::Relayed, said("so"))),
        ("passed on", Fact::Delivered(Handover::PassedOn, said("so"))),
    ];
    let told = |reverse_path: &str, notify: &str| {
        let is_told = |fact: &Fact| {
            let mut entry = unsettled(reverse_path, "joe@elsewhere.example");
            entry.recipients[0].addressed.notify = Notify::parse(notify).unwrap_or_default();
            entry.apply(&Record { at: 1, recipient: 0, fact: fact.clone() }).unwrap();
            [entry.owed(Occasion::Failure), entry.owed(Occasion::Success), entry.unwarned()].concat() == [0]
        };
        let words: Vec<_> = facts.iter().filter(|(_, fact)| is_told(fact)).map(|(word, _)| *word).collect();
        words.join(" ")
    };
    let ann = "ann@example.org";
    let cases = [
        (ann, "", "failed deferred"),
        (ann, "NEVER", ""),
        (ann, "FAILURE", "failed"),
        (ann, "DELAY", "deferred"),
        (ann, "SUCCESS", "delivered relayed"),
        (ann, "SUCCESS,FAILURE,DELAY", "failed deferred delivered relayed"),
        ("", "", "failed"),
        ("", "NEVER", ""),
        ("", "SUCCESS,DELAY", ""),
        ("", "SUCCESS,FAILURE,DELAY", "failed"),
    ];
    for (reverse_path, notify, expected) in cases {
        assert_eq!(told(reverse_path, notify), expected, "<{reverse_path}> {notify}");
    }
}
