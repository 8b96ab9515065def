//! Both sides of every login mechanism.

use kings_sasl::scram::{Hash, Keys};
use kings_sasl::{
    AuthServer, BadExchange, Claim, Client, Context, Mechanism, Mechanisms, Secret, Server, Step, Told,
};

/// Parts what is said in turn: no mechanism needs a line end.
const TURN: u8 = b'\n';
const PASSWORD: &str = "a very secret password";
/// Cheap to compute, and agreed to by clients of ours.
const ROUNDS: u32 = 4_096;

fn context() -> Context {
    Context {
        nonce: "server".into(),
        hostname: "mail.example.org".into(),
        bindings: Vec::new(),
        masters: None,
    }
}

/// Which mechanism, as the first octet says, and the turns behind it.
fn exchange(data: &[u8]) -> (Mechanism, impl Iterator<Item = &[u8]>) {
    let (first, rest) = data.split_first().unwrap_or((&0, b""));
    let mechanism = Mechanism::ALL[usize::from(*first) % Mechanism::ALL.len()];
    (mechanism, rest.split(|octet| *octet == TURN))
}

/// Whatever a client says: nobody is proven who does not know the password, claims are plain text in bounds, and nothing
/// goes on after the end.
pub fn sasl_server(data: &[u8]) {
    let with_keys = serve(data, |hash| Keys::derive(hash, PASSWORD, b"salt", ROUNDS));
    let with_fakes = serve(data, |hash| Keys::fake(hash, b"seed", 4, ROUNDS));
    assert!(!matches!(with_fakes, Some(Step::Proven(_))), "proven without a password");
    match with_keys {
        Some(Step::Check(claim)) => check(&claim, data),
        Some(Step::Proven(login)) => assert!(!login.is_empty() && !login.contains('\0')),
        _ => {}
    }
}

/// What an exchange ends with, if not with an error.
fn serve(data: &[u8], keys: impl Fn(Hash) -> Keys) -> Option<Step> {
    let (mechanism, mut turns) = exchange(data);
    let mut server = Server::new(mechanism, context());
    let mut step = server.start(None);
    loop {
        step = match step {
            Ok(Step::Challenge(_)) => server.respond(turns.next()?),
            Ok(Step::FindKeys { hash, login }) => {
                assert!(!login.is_empty() && login.len() <= data.len() * 18, "a name from nowhere");
                server.take_keys(keys(hash))
            }
            Ok(end @ Step::Check(Claim::Token { .. })) => {
                let refused = server.refuse_token(b"{}".to_vec());
                assert_eq!(refused, Ok(Step::Challenge(b"{}".to_vec())));
                assert_eq!(server.respond(b"\x01"), Err(BadExchange::TokenRefused));
                return Some(end);
            }
            Ok(end) => {
                assert!(server.respond(b"again").is_err(), "it goes on after its end");
                return Some(end);
            }
            Err(_) => {
                assert!(server.respond(b"again").is_err(), "it goes on after an error");
                return None;
            }
        }
    }
}

fn check(claim: &Claim, data: &[u8]) {
    let plain = |text: &str| text.len() <= data.len() && !text.contains('\0');
    let shown = format!("{claim:?}");
    match claim {
        Claim::Password(credentials) => {
            assert!(plain(&credentials.login) && !credentials.login.is_empty());
            let password = credentials.password.expose();
            assert!(plain(password));
            let is_a_name = credentials.login.contains(PASSWORD);
            assert!(
                is_a_name || !password.contains(PASSWORD) || !shown.contains(PASSWORD),
                "a password in a log"
            );
        }
        Claim::Digest { login, challenge, digest } => {
            assert!(plain(login) && !login.is_empty() && challenge == b"<server@mail.example.org>");
            assert!(digest.len() == 32 && digest.bytes().all(|octet| octet.is_ascii_hexdigit()));
        }
        Claim::Token { login, token } => {
            assert!(login.as_deref().is_none_or(|login| plain(login) && !login.is_empty()));
            let token = token.expose();
            assert!(!token.is_empty() && token.bytes().all(|octet| octet.is_ascii_graphic()));
        }
        Claim::Certificate { login } => assert!(login.as_deref().is_none_or(plain)),
    }
}

/// Whatever a server says: a mechanism that keeps the password here never shows it, and no success of SCRAM is believed
/// before its proof. Then the same text as name and password: both sides of ours agree about who it is.
pub fn sasl_client(data: &[u8]) {
    let (mechanism, turns) = exchange(data);
    if let Some(mut client) = Client::begin(mechanism, "ann", &Secret::new(PASSWORD), "client") {
        let hides = matches!(mechanism, Mechanism::Scram { .. } | Mechanism::CramMd5);
        let mut answers = 0;
        for challenge in turns {
            let expensive = rounds(challenge) > 4 * ROUNDS;
            let Some(response) = (!expensive).then(|| client.respond(challenge).ok()).flatten() else {
                break;
            };
            answers += 1;
            let shows = response.windows(PASSWORD.len()).any(|text| text == PASSWORD.as_bytes());
            assert!(!(hides && shows), "the password leaves");
            let is_scram = matches!(mechanism, Mechanism::Scram { .. });
            assert!(
                !(is_scram && client.may_succeed()) || challenge.starts_with(b"v="),
                "believed without a proof"
            );
        }
        assert!(answers <= 3, "an exchange without an end");
    }
    let (name, password) = data.split_at(data.len() / 2);
    if let (Ok(name), Ok(password)) = (std::str::from_utf8(name), std::str::from_utf8(password)) {
        agree(mechanism, name, password);
    }
}

/// The rounds that a first message of SCRAM asks for: a million take long, as they shall.
fn rounds(challenge: &[u8]) -> u32 {
    let text = String::from_utf8_lossy(challenge);
    text.split(',').find_map(|part| part.strip_prefix("i=")?.parse().ok()).unwrap_or(0)
}

/// Both sides of ours: they come to an end, and it is the right one.
fn agree(mechanism: Mechanism, name: &str, password: &str) {
    let secret = Secret::new(password);
    assert!(Client::usable([mechanism.name()], Mechanisms::PASSWORD).count() <= 1);
    let Some(mut client) = Client::begin(mechanism, name, &secret, "client") else { return };
    let mut server = Server::new(mechanism, context());
    let mut step = server.start(None);
    loop {
        step = match step {
            Ok(Step::Challenge(challenge)) => {
                let response = client.respond(&challenge).expect("a challenge of ours fits");
                server.respond(&response)
            }
            Ok(Step::FindKeys { hash, .. }) => {
                server.take_keys(Keys::derive(hash, password, b"salt", ROUNDS))
            }
            Ok(Step::Check(Claim::Password(found))) => {
                assert_eq!((found.login.as_str(), found.password.expose()), (name, password));
                return;
            }
            Ok(Step::Check(Claim::Digest { login, .. })) => return assert_eq!(login, name),
            Ok(Step::Proven(_)) => return assert!(client.may_succeed()),
            // Too long, empty, a NUL, or characters that SASLprep forbids.
            Err(_) => return,
            Ok(other) => panic!("{mechanism:?} ends with {other:?}"),
        }
    }
}

/// Whatever a mail server says: what is asked and answered does not depend on how it is cut, every line of ours is one line,
/// and only exchanges that were begun are asked about.
pub fn auth_server(data: &[u8]) {
    let whole = checks(data, data.len().max(1));
    assert_eq!(checks(data, 1), whole, "it depends on how it is cut");
    let lines = whole.1.split(|octet| *octet == b'\n').filter(|line| !line.is_empty());
    for line in lines {
        let known = [
            &b"VERSION\t"[..],
            b"MECH\t",
            b"SPID\t",
            b"CUID\t",
            b"COOKIE\t",
            b"DONE",
            b"OK\t",
            b"FAIL\t",
            b"CONT\t",
        ];
        assert!(known.iter().any(|start| line.starts_with(start)), "no line of ours");
    }
}

/// Answers each exchange in turn with a challenge, a refusal and an account; gives what was asked, what was said, and
/// whether it ended in a breach.
fn checks(data: &[u8], piece: usize) -> (Vec<String>, Vec<u8>, bool) {
    let mut server = AuthServer::new(Mechanisms::PASSWORD, (1, 1), "00000000000000000000000000000000");
    let (mut asked, mut said) = (Vec::new(), Vec::new());
    for piece in data.chunks(piece) {
        server.receive(piece);
        loop {
            match server.next_asked() {
                Ok(Some(next)) => {
                    assert!(server.is_open(next.id), "it was never begun");
                    let told = match asked.len() % 3 {
                        0 => Told::Challenge(b"go on"),
                        1 => Told::Refused { login: "a\tb\n", reason: "no", temporary: true },
                        _ => Told::Proven("ann@example.org"),
                    };
                    server.answer(next.id, told);
                    asked.push(format!("{} {:?}", next.id, next.whence));
                }
                Ok(None) => break,
                Err(_) => {
                    said.extend(server.transmit());
                    return (asked, said, true);
                }
            }
        }
    }
    said.extend(server.transmit());
    (asked, said, false)
}
