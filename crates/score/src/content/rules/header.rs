//! The header of a message and the form of its lines.

use kings_mail::address_list::Mailbox;
use kings_mail::date::DateTime;
use kings_mail::domain::Domain;
use kings_mail::header::Fields;
use kings_mail::{encoded_word, message_ids};

use super::super::Rule;
use super::super::subject::Subject;
use super::when;

pub(super) const RULES: &[&Rule] = &[
    &Rule {
        id: "date-missing",
        weight: 5,
        source: "RFC 5322 §3.6",
        what: "There is no Date field",
        why: "Every message has one; without it receivers write the time of arrival and suspect a script.",
        fix: "Let the program that writes the message set Date; submission to Kings adds it.",
        check: |subject| when(subject.first("Date").is_none(), || "no Date field".into()),
    },
    &Rule {
        id: "date-malformed",
        weight: 3,
        source: "RFC 5322 §3.3",
        what: "The Date field is no date",
        why: "The message is sorted to the wrong place or to none, and filters count it.",
        fix: "Write it as \"Sat, 28 Nov 2026 12:00:00 +0000\".",
        check: |subject| {
            let value = subject.value("Date")?;
            when(DateTime::parse_rfc5322(&value).is_none(), || format!("Date: {value}"))
        },
    },
    &Rule {
        id: "date-ahead",
        weight: 3,
        source: "SpamAssassin DATE_IN_FUTURE",
        what: "The message is dated more than a day ahead",
        why: "Spam is dated ahead to stay on top of the list of messages.",
        fix: "Set the clock of the machine that writes the message: timedatectl set-ntp true.",
        check: |subject| {
            const DAY: i64 = 24 * 3600;
            let value = subject.value("Date")?;
            let date = DateTime::parse_rfc5322(&value)?;
            when(date.unix() > subject.now.saturating_add(DAY), || format!("Date: {value}"))
        },
    },
    &Rule {
        id: "message-id-missing",
        weight: 5,
        source: "RFC 5322 §3.6.4",
        what: "There is no Message-ID field",
        why: "Gmail refuses or files mail without one, and answers cannot be joined to it.",
        fix: "Let the program set one that nobody else uses; submission to Kings adds it.",
        check: |subject| when(subject.first("Message-ID").is_none(), || "no Message-ID field".into()),
    },
    &Rule {
        id: "message-id-malformed",
        weight: 3,
        source: "RFC 5322 §3.6.4",
        what: "The Message-ID is not <something@a.domain>",
        why: "Gmail refuses some broken forms (550 5.7.1), and filters count the others.",
        fix: "Write one identifier in angle brackets, with the full name of a host behind the @.",
        check: message_id,
    },
    &Rule {
        id: "from-malformed",
        weight: 10,
        source: "RFC 5322 §3.6.2",
        what: "There is no From field with an address",
        why: "Without an author nothing can be proven by DMARC; large receivers refuse the message.",
        fix: "Write one From field with one address at your domain.",
        check: |subject| {
            let authors = subject.addresses("From");
            when(!authors.iter().any(has_address), || {
                subject.value("From").map_or("no From field".into(), |value| format!("From: {value}"))
            })
        },
    },
    &Rule {
        id: "from-several",
        weight: 5,
        source: "RFC 5322 §3.6.2; Gmail and Outlook.com sender rules",
        what: "The From field names several authors",
        why: "Gmail refuses such mail (550 5.7.1), and DMARC cannot say whose policy counts.",
        fix: "Name one author in From, and the others in Cc or in the text.",
        check: |subject| {
            let count = subject.addresses("From").iter().filter(|author| has_address(author)).count();
            when(count > 1, || format!("{count} addresses in From"))
        },
    },
    &Rule {
        id: "from-name-address",
        weight: 6,
        source: "SpamAssassin FROMNAME_SPOOF",
        what: "The name of the author shows an address at another domain",
        why: "Many programs show the name alone, so this is how authors are forged.",
        fix: "Write a name, or the same address, in front of the address in From.",
        check: name_with_address,
    },
    &Rule {
        id: "field-twice",
        weight: 10,
        source: "RFC 5322 §3.6; Gmail sender rules",
        what: "A field stands twice that may stand once",
        why: "Gmail refuses it (550 5.7.1 \"multiple\" headers): each reader shows another one of the two.",
        fix: "Write each of these fields once.",
        check: field_twice,
    },
    &Rule {
        id: "to-missing",
        weight: 3,
        source: "SpamAssassin MISSING_HEADERS",
        what: "There is neither To nor Cc",
        why: "Mail to nobody in particular is mostly spam.",
        fix: "Write the recipient in To; \"To: undisclosed-recipients:;\" where nobody is to be named.",
        check: |subject| {
            let is_there = ["To", "Cc"].iter().any(|name| subject.first(name).is_some());
            when(!is_there, || "no To and no Cc field".into())
        },
    },
    &Rule {
        id: "bcc-shown",
        weight: 5,
        source: "RFC 5322 §3.6.3",
        what: "A Bcc field with addresses is left in the message",
        why: "All recipients see who got it in secret.",
        fix: "Take Bcc off before the message is sent; submission to Kings does.",
        check: |subject| {
            let count = subject.addresses("Bcc").len();
            when(count > 0, || format!("{count} addresses in Bcc"))
        },
    },
    &Rule {
        id: "reply-to-freemail",
        weight: 4,
        source: "SpamAssassin FREEMAIL_FORGED_REPLYTO",
        what: "Answers go to a free mailbox that is not the author's",
        why: "It is how letters about lotteries and invoices are made: a proper author, and answers to somebody else.",
        fix: "Let Reply-To name an address at the domain in From.",
        check: reply_to,
    },
    &Rule {
        id: "subject-missing",
        weight: 3,
        source: "SpamAssassin MISSING_SUBJECT",
        what: "There is no subject",
        why: "Filters count it, and readers do not open it.",
        fix: "Write a Subject field that says what the message is about.",
        check: |subject| {
            let title = subject.title().unwrap_or_default();
            when(title.trim().is_empty(), || "no subject, or an empty one".into())
        },
    },
    &Rule {
        id: "subject-capitals",
        weight: 3,
        source: "SpamAssassin SUBJ_ALL_CAPS",
        what: "The subject is written in capitals",
        why: "Filters and readers take it for shouting.",
        fix: "Write the subject like any sentence.",
        check: |subject| {
            let title = subject.title()?;
            let letters = title.chars().filter(|c| c.is_alphabetic()).count();
            let is_loud = letters > 10 && title.contains(' ') && !title.chars().any(char::is_lowercase);
            // Scripts without capitals have no lower case either.
            when(is_loud && title.chars().any(char::is_uppercase), || format!("Subject: {title}"))
        },
    },
    &Rule {
        id: "subject-marks",
        weight: 2,
        source: "SpamAssassin PLING_QUERY, SUBJ_DOLLARS",
        what: "The subject shouts with marks or sums",
        why: "\"!!!\" and \"$$$\" are seldom in mail that anybody waits for.",
        fix: "End the subject without a row of marks.",
        check: |subject| {
            let title = subject.title()?;
            let runs = ["!!", "$$", "??", "€€", "!?!"];
            when(runs.iter().any(|run| title.contains(run)), || format!("Subject: {title}"))
        },
    },
    &Rule {
        id: "subject-forged-reply",
        weight: 4,
        source: "RFC 5322 §3.6.4, §3.6.5; SpamAssassin FAKE_REPLY",
        what: "The subject starts with \"Re:\" and the message answers nothing",
        why: "A faked answer is a usual way to be opened.",
        fix: "Take \"Re:\" off, or name the message that is answered in In-Reply-To and References.",
        check: |subject| {
            let title = subject.title()?;
            let is_reply = title.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("re:"));
            let answers = ["In-Reply-To", "References"].iter().any(|name| subject.first(name).is_some());
            when(is_reply && !answers, || format!("Subject: {title}"))
        },
    },
    &Rule {
        id: "header-octets",
        weight: 3,
        source: "RFC 5322 §2.2, RFC 2047 §4",
        what: "A header field holds letters beyond ASCII as they are",
        why: "Only where every server on the way takes SMTPUTF8 is that allowed; others show rubbish or refuse it.",
        fix: "Write such names and subjects as encoded words (=?utf-8?...); submission to Kings does.",
        check: |subject| {
            let field = Fields::new(subject.header()).find(|field| !field.raw.is_ascii())?;
            Some(format!("the field {}", field.name))
        },
    },
    &Rule {
        id: "line-long",
        weight: 5,
        source: "RFC 5322 §2.1.1",
        what: "A line is longer than 998 octets",
        why: "Some servers cut or refuse such lines, and a cut breaks the signature.",
        fix: "Encode the text as quoted-printable or base64.",
        check: |subject| {
            let lines = subject.message.split(|&octet| octet == b'\n');
            let longest = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line).len()).max()?;
            when(longest > 998, || format!("a line of {longest} octets"))
        },
    },
    &Rule {
        id: "line-end-alone",
        weight: 5,
        source: "RFC 5322 §2.3",
        what: "A CR or LF stands alone, or there is a NUL",
        why: "Servers that were taught about smuggling refuse such mail (550 5.5.2), Gmail and Kings too.",
        fix: "End every line in CR LF, and encode binary content.",
        check: line_ends,
    },
];

fn has_address(mailbox: &Mailbox) -> bool {
    !mailbox.local_part.is_empty() && Domain::parse(&mailbox.domain).is_ok()
}

fn message_id(subject: &Subject<'_>) -> Option<String> {
    let value = subject.value("Message-ID")?;
    let is_host = |right: &str| right.contains('.') || right.starts_with('[');
    let whole = value.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    let halves = whole.and_then(|id| id.rsplit_once('@'));
    let is_good = halves.is_some_and(|(left, right)| !left.is_empty() && is_host(right))
        && !value.contains(char::is_whitespace)
        && message_ids::parse(value.as_bytes()).count() == 1;
    when(!is_good, || format!("Message-ID: {value}"))
}

fn name_with_address(subject: &Subject<'_>) -> Option<String> {
    let author = subject.addresses("From").into_iter().find(has_address)?;
    let name = encoded_word::decode(author.display_name.as_deref()?).into_owned();
    let token = name.split_whitespace().find(|token| token.contains('@'))?;
    let (_, shown) = token.rsplit_once('@')?;
    let shown = shown.trim_end_matches(|c: char| !c.is_alphanumeric());
    let shown = Domain::parse(shown).ok().filter(|domain| domain.as_str().contains('.'))?;
    let real = Domain::parse(&author.domain).ok()?;
    let is_same = shown.is_within(&real) || real.is_within(&shown);
    when(!is_same, || format!("\"{name}\" in front of an address at {real}"))
}

fn field_twice(subject: &Subject<'_>) -> Option<String> {
    const ONCE: [&str; 17] = [
        "Bcc",
        "Cc",
        "Content-Disposition",
        "Content-Transfer-Encoding",
        "Content-Type",
        "Date",
        "From",
        "In-Reply-To",
        "List-Unsubscribe",
        "List-Unsubscribe-Post",
        "MIME-Version",
        "Message-ID",
        "References",
        "Reply-To",
        "Sender",
        "Subject",
        "To",
    ];
    let mut counts = [0_usize; ONCE.len()];
    for field in Fields::new(subject.header()) {
        if let Some(at) = ONCE.iter().position(|name| field.is(name)) {
            counts[at] += 1;
        }
    }
    let (name, count) = ONCE.iter().zip(counts).find(|(_, count)| *count > 1)?;
    Some(format!("{name} stands {count} times"))
}

fn reply_to(subject: &Subject<'_>) -> Option<String> {
    const FREE: [&str; 22] = [
        "aol.com",
        "fastmail.com",
        "gmail.com",
        "gmx.com",
        "gmx.de",
        "gmx.net",
        "googlemail.com",
        "hotmail.com",
        "icloud.com",
        "live.com",
        "mail.com",
        "mail.ru",
        "msn.com",
        "outlook.com",
        "proton.me",
        "protonmail.com",
        "qq.com",
        "163.com",
        "web.de",
        "yahoo.com",
        "yandex.com",
        "yandex.ru",
    ];
    let author = subject.addresses("From").into_iter().find(has_address)?;
    let answers = subject.addresses("Reply-To").into_iter().find(|mailbox| {
        FREE.iter().any(|free| mailbox.domain.eq_ignore_ascii_case(free))
            && !mailbox.domain.eq_ignore_ascii_case(&author.domain)
    })?;
    Some(format!("From at {}, Reply-To at {}", author.domain, answers.domain))
}

fn line_ends(subject: &Subject<'_>) -> Option<String> {
    let mut before = 0;
    for (at, &octet) in subject.message.iter().enumerate() {
        let next = subject.message.get(at + 1).copied();
        let stray = match octet {
            b'\r' if next != Some(b'\n') => "CR",
            b'\n' if before != b'\r' => "LF",
            0 => "NUL",
            _ => {
                before = octet;
                continue;
            }
        };
        return Some(format!("a lone {stray} at octet {at}"));
    }
    None
}
