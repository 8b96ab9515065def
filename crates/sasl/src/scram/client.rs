//! The client's side of SCRAM (RFC 5802 §5).

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::keys::{client_key, salted_password, xor};
use super::message::{ServerFirst, escape};
use super::{Binding, Hash, MAX_ITERATIONS, MIN_ITERATIONS, normalize};
use crate::base64::{decode, encode};
use crate::client::BadChallenge;
use crate::secret::Secret;

/// One exchange.
#[derive(Debug)]
pub(crate) struct Exchange {
    hash: Hash,
    password: Secret,
    gs2_header: String,
    binding: Vec<u8>,
    bare: String,
    nonce: String,
    state: State,
}

#[derive(Debug)]
enum State {
    Start,
    /// The server's first message is due.
    First,
    /// The server's proof is due, and must be this one.
    Proof(Vec<u8>),
    /// The server has proven that it knows the password.
    Proven,
}

impl Exchange {
    pub(crate) fn new(
        hash: Hash,
        login: &str,
        password: &Secret,
        nonce: &str,
        binding: Option<&Binding>,
    ) -> Self {
        let login = normalize(login).unwrap_or_else(|| login.to_owned());
        let gs2_header = binding.map_or_else(|| "n,,".to_owned(), |binding| format!("p={},,", binding.name));
        Self {
            hash,
            password: password.clone(),
            gs2_header,
            binding: binding.map(|binding| binding.data.clone()).unwrap_or_default(),
            bare: format!("n={},r={nonce}", escape(&login)),
            nonce: nonce.to_owned(),
            state: State::Start,
        }
    }

    pub(crate) fn respond(&mut self, challenge: &[u8]) -> Result<Vec<u8>, BadChallenge> {
        match std::mem::replace(&mut self.state, State::First) {
            State::Start => Ok(format!("{}{}", self.gs2_header, self.bare).into_bytes()),
            State::First => self.prove(challenge),
            State::Proof(expected) => {
                let proof = challenge.strip_prefix(b"v=").and_then(|proof| decode(proof).ok());
                let proof = proof.ok_or(BadChallenge)?;
                verify_slices_are_equal(&proof, &expected).map_err(|_| BadChallenge)?;
                self.state = State::Proven;
                Ok(Vec::new())
            }
            State::Proven => Err(BadChallenge),
        }
    }

    /// Whether the server has shown that it knows the password, without which a success means nothing
    /// (RFC 5802 §5).
    pub(crate) fn is_proven(&self) -> bool {
        matches!(self.state, State::Proven)
    }

    fn prove(&mut self, challenge: &[u8]) -> Result<Vec<u8>, BadChallenge> {
        let text = std::str::from_utf8(challenge).map_err(|_| BadChallenge)?;
        let first = ServerFirst::parse(text).ok_or(BadChallenge)?;
        let is_ours = first.nonce.len() > self.nonce.len() && first.nonce.starts_with(&self.nonce);
        // Few rounds would let whoever plays the server guess the password from our proof.
        if !is_ours || !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(&first.iterations) {
            return Err(BadChallenge);
        }
        let hash = self.hash;
        let salted = salted_password(hash, self.password.expose(), &first.salt, first.iterations);
        let bound = encode(&[self.gs2_header.as_bytes(), &self.binding].concat());
        let without_proof = format!("c={bound},r={}", first.nonce);
        let auth_message = format!("{},{text},{without_proof}", self.bare);
        let client_key = client_key(hash, &salted);
        let signature = hash.hmac(&hash.digest(&client_key), auth_message.as_bytes());
        let proof = encode(&xor(&client_key, &signature));
        let server_key = hash.hmac(&salted, b"Server Key");
        self.state = State::Proof(hash.hmac(&server_key, auth_message.as_bytes()));
        Ok(format!("{without_proof},p={proof}").into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun() -> Exchange {
        let mut exchange =
            Exchange::new(Hash::Sha256, "user", &Secret::new("pencil"), "rOprNGfwEbeRWgbNEkqO", None);
        assert_eq!(exchange.respond(b""), Ok(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO".to_vec()));
        exchange
    }

    const FIRST: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    #[test]
    fn the_example_of_rfc_7677_comes_out() {
        let mut exchange = begun();
        let second = exchange.respond(FIRST.as_bytes()).expect("the example");
        assert!(second.ends_with(b",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="));
        assert!(!exchange.is_proven());
        assert_eq!(exchange.respond(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Ok(vec![]));
        assert!(exchange.is_proven());
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_found_out() {
        for proof in ["v=AAAA", "e=other-error", "", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="] {
            let mut exchange = begun();
            exchange.respond(FIRST.as_bytes()).expect("the example");
            assert_eq!(exchange.respond(proof.as_bytes()), Err(BadChallenge), "{proof}");
            assert!(!exchange.is_proven());
        }
    }

    #[test]
    fn a_server_that_makes_guessing_easy_or_work_endless_gets_no_proof() {
        let others = [
            FIRST.replacen("i=4096", "i=1", 1),
            FIRST.replacen("i=4096", "i=4294967295", 1),
            FIRST.replacen("r=rOpr", "r=sOpr", 1),
            "r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".to_owned(),
        ];
        for challenge in others {
            assert_eq!(begun().respond(challenge.as_bytes()), Err(BadChallenge), "{challenge}");
        }
    }
}
