//! Properties of the command grammar: what is written is read, and nothing else is taken for a command.
#![allow(clippy::unwrap_used, reason = "tests")]

use kings_mail::address::{Address, Host, LocalPart};
use kings_mail::date::DateTime;
use kings_mail::envelope::{Body, Hold, MailParameters, Recipient};
use kings_mail::path::{ForwardPath, ReversePath};
use kings_mail::report::{self, EnvelopeId, Notify, OriginalRecipient, Return};
use kings_smtp::command::{self, Chunk, Command, Offered};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_rendered_command_reads_back_as_itself(command in any_command()) {
        let line = render(&command);
        prop_assert_eq!(command::parse(&line, Offered::ALL), Ok(command.clone()), "{}", line);
        prop_assert_eq!(command::parse(&format!("{line} \t"), Offered::ALL), Ok(command));
    }

    #[test]
    fn any_line_is_an_error_or_a_command_with_one_reading(line in "\\PC{0,80}", verb in 0..VERBS.len()) {
        let line = format!("{}{line}", VERBS[verb]);
        match command::parse(&line, Offered::ALL) {
            // What an address means here it must mean to the next server as well.
            Ok(command @ (Command::Mail(..) | Command::Rcpt(_))) => {
                prop_assert_eq!(command::parse(&render(&command), Offered::ALL), Ok(command));
            }
            Ok(_) => {}
            Err(error) => prop_assert!(!error.reply().is_positive()),
        }
    }
}

/// Beginnings that lead deep into the grammar.
const VERBS: [&str; 8] =
    ["", "MAIL FROM:<", "RCPT TO:<", "MAIL FROM:<a@b> ", "EHLO ", "AUTH ", "RCPT TO:<\"", "MAIL FROM:<@"];

fn any_command() -> impl Strategy<Value = Command> {
    let bare =
        vec![Command::Data, Command::Rset, Command::Noop, Command::Help, Command::Quit, Command::StartTls];
    let sender = prop_oneof![1 => Just(ReversePath::Null), 4 => address().prop_map(ReversePath::Address)];
    let recipient =
        prop_oneof![1 => Just(ForwardPath::Postmaster), 4 => address().prop_map(ForwardPath::Address)];
    let response = proptest::option::of("[A-Za-z0-9+/]{4}={0,2}");
    prop_oneof![
        1 => proptest::sample::select(bare),
        1 => "[!-~]{1,255}".prop_map(Command::Ehlo),
        1 => "[!-~]{1,255}".prop_map(Command::Helo),
        4 => (sender, parameters()).prop_map(|(path, parameters)| Command::Mail(path, parameters)),
        4 => (recipient, notify(), original()).prop_map(|(path, notify, original)| {
            Command::Rcpt(Recipient { path, notify, original, resolved: false, added: false })
        }),
        1 => ("[A-Z0-9-]{1,20}", response)
            .prop_map(|(mechanism, initial_response)| Command::Auth { mechanism, initial_response }),
    ]
}

fn parameters() -> impl Strategy<Value = MailParameters> {
    let ret = proptest::option::of(proptest::sample::select(vec![Return::Full, Return::Headers]));
    let flags = any::<[bool; 3]>();
    (flags, any::<Option<u64>>(), ret, xtext(1..30), hold()).prop_map(
        |([eight_bit, smtputf8, require_tls], size, ret, envelope_id, hold)| {
            let body = if eight_bit { Body::EightBitMime } else { Body::SevenBit };
            let envelope_id = EnvelopeId::parse(&envelope_id);
            MailParameters {
                body,
                smtputf8,
                size,
                ret,
                envelope_id,
                require_tls,
                hold,
                submitter: None,
                filter: None,
            }
        },
    )
}

fn hold() -> impl Strategy<Value = Option<Hold>> {
    proptest::option::of(prop_oneof![
        (0..=999_999_999_u64).prop_map(Hold::For),
        // To the end of the year 9999.
        (0..=253_402_300_799_u64).prop_map(Hold::Until),
    ])
}

fn notify() -> impl Strategy<Value = Notify> {
    let when = any::<[bool; 3]>().prop_filter("one case at least", |cases| cases.contains(&true));
    prop_oneof![
        Just(Notify::Unsaid),
        Just(Notify::Never),
        when.prop_map(|[success, failure, delay]| Notify::When { success, failure, delay }),
    ]
}

fn original() -> impl Strategy<Value = Option<OriginalRecipient>> {
    proptest::option::of(
        xtext(1..60).prop_map(|address| {
            OriginalRecipient::parse(&format!("rfc822;{address}")).expect("printable text")
        }),
    )
}

/// Printable text, encoded.
fn xtext(length: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    vec(proptest::char::range(' ', '~'), length)
        .prop_map(|chars| report::xtext(&chars.iter().collect::<String>()))
}

/// Addresses of every form; some of them live here.
fn address() -> impl Strategy<Value = Address> {
    let local_part = prop_oneof![
        "[a-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}(\\.[a-z0-9]{1,10})?",
        // Quoted: any printable character, those that need a backslash with one.
        vec(
            prop_oneof![
                proptest::sample::select(vec!['"', '\\', '>', '@', ':', ' ', 'ü']),
                proptest::char::range(' ', '~')
            ],
            1..20
        )
        .prop_map(|chars| {
            let escaped =
                chars.iter().map(|c| if "\"\\".contains(*c) { format!("\\{c}") } else { c.to_string() });
            format!("\"{}\"", escaped.collect::<String>())
        }),
        Just("ann".to_owned()),
    ];
    let host = prop_oneof![
        "[a-z0-9]{1,10}(-[a-z0-9]{1,5})?(\\.[a-z]{2,8}){1,3}",
        any::<std::net::Ipv4Addr>().prop_map(|ip| format!("[{ip}]")),
        any::<std::net::Ipv6Addr>().prop_map(|ip| format!("[IPv6:{ip}]")),
        Just("here.example".to_owned()),
    ];
    (local_part, host).prop_map(|(local_part, host)| {
        Address::new(LocalPart::parse(&local_part).unwrap(), Host::parse(&host).unwrap())
    })
}

/// As a client writes it.
fn render(command: &Command) -> String {
    match command {
        Command::Ehlo(name) => format!("EHLO {name}"),
        Command::Helo(name) => format!("HELO {name}"),
        Command::Lhlo(name) => format!("LHLO {name}"),
        Command::Bdat(Chunk { left, last }) => format!("BDAT {left}{}", if *last { " LAST" } else { "" }),
        Command::Xclient(_) | Command::Xforward(_) => unreachable!("made by no strategy"),
        Command::Mail(path, parameters) => {
            let size = parameters.size.map(|size| format!(" SIZE={size}")).unwrap_or_default();
            let body = if parameters.body == Body::EightBitMime { " BODY=8BITMIME" } else { "" };
            let smtputf8 = if parameters.smtputf8 { " SMTPUTF8" } else { "" };
            let ret = parameters.ret.map(|ret| format!(" RET={ret}")).unwrap_or_default();
            let require_tls = if parameters.require_tls { " REQUIRETLS" } else { "" };
            let hold = match parameters.hold {
                None => String::new(),
                Some(Hold::For(seconds)) => format!(" HOLDFOR={seconds}"),
                Some(Hold::Until(moment)) => {
                    let moment = DateTime::from_unix(i64::try_from(moment).unwrap());
                    format!(" HOLDUNTIL={}", moment.to_rfc3339())
                }
            };
            let envelope_id = parameters.envelope_id.as_ref().map(|id| format!(" ENVID={id}"));
            format!(
                "MAIL FROM:{path}{size}{body}{smtputf8}{ret}{require_tls}{hold}{}",
                envelope_id.unwrap_or_default()
            )
        }
        Command::Rcpt(Recipient { path, notify, original, resolved: _, added: _ }) => {
            let notify = if *notify == Notify::Unsaid { String::new() } else { format!(" NOTIFY={notify}") };
            let original = original.as_ref().map(|original| format!(" ORCPT={original}"));
            format!("RCPT TO:{path}{notify}{}", original.unwrap_or_default())
        }
        Command::Auth { mechanism, initial_response: None } => format!("AUTH {mechanism}"),
        Command::Auth { mechanism, initial_response: Some(response) } => {
            format!("AUTH {mechanism} {response}")
        }
        Command::Data => "DATA".into(),
        Command::Rset => "RSET".into(),
        Command::Noop => "NOOP".into(),
        Command::Vrfy => "VRFY x".into(),
        Command::Help => "HELP".into(),
        Command::Quit => "QUIT".into(),
        Command::StartTls => "STARTTLS".into(),
    }
}
