//! The server's side of SCRAM (RFC 5802 §5).

use super::message::{ClientFinal, ClientFirst, Flag};
use super::{Binding, Keys};
use crate::base64::encode;
use crate::server::BadExchange;

/// One exchange. The order is: first message, [`Exchange::take_keys`], second message, empty message.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// With channel binding: the mechanism's name ends in `-PLUS`.
    plus: bool,
    /// The types we offer; none where `-PLUS` is not offered.
    bindings: Vec<Binding>,
    nonce: String,
    state: State,
}

#[derive(Debug)]
enum State {
    First,
    /// The keys are being looked up.
    Keys(Begun),
    Final(Begun, Keys),
    /// The client has proven itself, and hears our own proof; its empty answer ends the exchange.
    Proven(String),
    Over,
}

/// What the first message has settled.
#[derive(Debug)]
struct Begun {
    login: String,
    /// Both halves.
    nonce: String,
    /// What `c=` must hold.
    binding: Vec<u8>,
    /// The first messages, of the client and then of both, as the proof covers them.
    messages: String,
}

/// What came of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Look up the keys of this login, then [`Exchange::take_keys`].
    Login(String),
    /// Send this.
    Challenge(Vec<u8>),
    /// It is this one, beyond doubt.
    Proven(String),
}

impl Exchange {
    pub(crate) fn new(plus: bool, bindings: Vec<Binding>, nonce: String) -> Self {
        Self { plus, bindings, nonce, state: State::First }
    }

    pub(crate) fn respond(&mut self, response: &[u8]) -> Result<Heard, BadExchange> {
        let message = std::str::from_utf8(response).map_err(|_| BadExchange::Malformed)?;
        match std::mem::replace(&mut self.state, State::Over) {
            State::First => self.first(message),
            State::Final(begun, keys) => self.second(message, begun, &keys),
            State::Proven(login) if message.is_empty() => Ok(Heard::Proven(login)),
            State::Proven(_) | State::Keys(_) | State::Over => Err(BadExchange::Malformed),
        }
    }

    fn first(&mut self, message: &str) -> Result<Heard, BadExchange> {
        let first = ClientFirst::parse(message)?;
        let data = self.binding_data(&first.flag)?;
        if first.identity.as_ref().is_some_and(|identity| *identity != first.login) {
            return Err(BadExchange::OtherIdentity);
        }
        self.state = State::Keys(Begun {
            login: first.login.clone(),
            nonce: format!("{}{}", first.nonce, self.nonce),
            binding: [first.gs2_header.as_bytes(), data].concat(),
            messages: first.bare.to_owned(),
        });
        Ok(Heard::Login(first.login))
    }

    /// RFC 5802 §6: a client that could bind and thinks that we cannot has been lied to by somebody between us.
    fn binding_data(&self, flag: &Flag<'_>) -> Result<&[u8], BadExchange> {
        match flag {
            Flag::Used(name) if self.plus => {
                let binding = self.bindings.iter().find(|binding| binding.name == *name);
                binding.map(|binding| binding.data.as_slice()).ok_or(BadExchange::UnknownBinding)
            }
            Flag::NotOffered if !self.bindings.is_empty() => Err(BadExchange::Downgrade),
            Flag::Unsupported | Flag::NotOffered if !self.plus => Ok(&[]),
            Flag::Used(_) | Flag::NotOffered | Flag::Unsupported => Err(BadExchange::Malformed),
        }
    }

    /// The keys that belong to the login, or fake ones: then no proof will do. Gives the next challenge.
    pub(crate) fn take_keys(&mut self, keys: Keys) -> Option<Vec<u8>> {
        let State::Keys(mut begun) = std::mem::replace(&mut self.state, State::Over) else { return None };
        let challenge = format!("r={},s={},i={}", begun.nonce, encode(keys.salt()), keys.iterations());
        begun.messages = format!("{},{challenge}", begun.messages);
        self.state = State::Final(begun, keys);
        Some(challenge.into_bytes())
    }

    fn second(&mut self, message: &str, begun: Begun, keys: &Keys) -> Result<Heard, BadExchange> {
        let last = ClientFinal::parse(message).ok_or(BadExchange::Malformed)?;
        let auth_message = format!("{},{}", begun.messages, last.without_proof);
        let proven = keys.verify(auth_message.as_bytes(), &last.proof);
        if !proven || last.nonce != begun.nonce || last.binding != begun.binding {
            return Err(BadExchange::WrongProof);
        }
        let signature = keys.server_signature(auth_message.as_bytes());
        self.state = State::Proven(begun.login);
        Ok(Heard::Challenge(format!("v={}", encode(&signature)).into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Hash;
    use super::*;

    /// The examples of the two RFCs: hash, client's first, nonce of ours, salt, challenge, second, and our proof.
    const EXAMPLES: [[&str; 6]; 2] = [
        // RFC 5802 §5
        [
            "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
            "3rfcNHYJY1ZVvWVs7j",
            "QSXCR+Q6sek8bf92",
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ],
        // RFC 7677 §3
        [
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            "W22ZaJ0SNY7soEsUEjb6gQ==",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ],
    ];

    fn keys(hash: Hash, salt: &str) -> Keys {
        Keys::derive(hash, "pencil", &crate::decode(salt.as_bytes()).expect("base64"), 4_096)
    }

    fn second(exchange: &mut Exchange, message: &str) -> Result<Heard, BadExchange> {
        exchange.respond(message.as_bytes())
    }

    #[test]
    fn the_examples_of_both_rfcs_come_out() {
        for (hash, [first, nonce, salt, challenge, last, proof]) in
            [Hash::Sha1, Hash::Sha256].into_iter().zip(EXAMPLES)
        {
            let mut exchange = Exchange::new(false, vec![], nonce.to_owned());
            assert_eq!(exchange.respond(first.as_bytes()), Ok(Heard::Login("user".to_owned())));
            let said = exchange.take_keys(keys(hash, salt)).expect("keys are wanted");
            assert_eq!(String::from_utf8_lossy(&said), challenge);
            assert_eq!(second(&mut exchange, last), Ok(Heard::Challenge(proof.as_bytes().to_vec())));
            assert_eq!(exchange.respond(b""), Ok(Heard::Proven("user".to_owned())));
            assert_eq!(exchange.respond(b""), Err(BadExchange::Malformed));
        }
    }

    #[test]
    fn what_differs_in_anything_proves_nothing() {
        let [first, nonce, salt, _, last, _] = EXAMPLES[1];
        let cases = [
            last.replacen("p=dH", "p=eH", 1),
            last.replacen("$k0", "$k1", 1),
            last.replacen("c=biws", "c=eSws", 1),
            last.replacen(",p=", ",x=1,p=", 1),
            last.replacen("p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "p=", 1),
        ];
        for message in cases {
            let mut exchange = Exchange::new(false, vec![], nonce.to_owned());
            exchange.respond(first.as_bytes()).expect("the example's first message");
            exchange.take_keys(keys(Hash::Sha256, salt)).expect("keys are wanted");
            assert_eq!(second(&mut exchange, &message), Err(BadExchange::WrongProof), "{message}");
            assert_eq!(exchange.respond(b""), Err(BadExchange::Malformed), "the exchange is over");
        }
    }

    #[test]
    fn channel_binding_is_all_or_nothing() {
        let binding = || vec![Binding { name: "tls-exporter", data: b"bound".to_vec() }];
        let first = |plus, bindings, flag: &str| {
            let mut exchange = Exchange::new(plus, bindings, "x".to_owned());
            exchange.respond(format!("{flag},,n=user,r=abc").as_bytes()).map(|_| ())
        };
        let cases = [
            (true, binding(), "p=tls-exporter", Ok(())),
            (true, binding(), "p=tls-unique", Err(BadExchange::UnknownBinding)),
            (true, binding(), "n", Err(BadExchange::Malformed)),
            (true, binding(), "y", Err(BadExchange::Downgrade)),
            (false, binding(), "y", Err(BadExchange::Downgrade)),
            (false, binding(), "n", Ok(())),
            (false, binding(), "p=tls-exporter", Err(BadExchange::Malformed)),
            (false, vec![], "y", Ok(())),
        ];
        for (plus, bindings, flag, expected) in cases {
            assert_eq!(first(plus, bindings, flag), expected, "{plus} {flag}");
        }
    }

    #[test]
    fn nobody_acts_as_somebody_else() {
        let mut exchange = Exchange::new(false, vec![], "x".to_owned());
        assert_eq!(exchange.respond(b"n,a=joe,n=ann,r=abc"), Err(BadExchange::OtherIdentity));
        let mut exchange = Exchange::new(false, vec![], "x".to_owned());
        assert_eq!(exchange.respond(b"n,a=ann,n=ann,r=abc"), Ok(Heard::Login("ann".to_owned())));
    }
}
