//! The client side: what we send when a smart host asks who we are.

use crate::{Mechanism, Secret};

/// The client side of one exchange.
#[derive(Debug)]
pub struct Client {
    mechanism: Mechanism,
    login: String,
    password: Secret,
    sent: usize,
}

impl Client {
    /// Begins an exchange with the better of the mechanisms that the server offers, if there is one.
    pub fn choose<'a>(
        offered: impl IntoIterator<Item = &'a str>,
        login: &str,
        password: &Secret,
    ) -> Option<Self> {
        let offered: Vec<Mechanism> = offered.into_iter().filter_map(Mechanism::parse).collect();
        let mechanism = Mechanism::ALL.into_iter().find(|mechanism| offered.contains(mechanism))?;
        Some(Self { mechanism, login: login.to_owned(), password: password.clone(), sent: 0 })
    }

    /// The mechanism to name in AUTH.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The next response, or `None` when the server asks for more than the mechanism has.
    pub fn next_response(&mut self) -> Option<Vec<u8>> {
        self.sent += 1;
        match (self.mechanism, self.sent) {
            (Mechanism::Plain, 1) => {
                Some(format!("\0{}\0{}", self.login, self.password.expose()).into_bytes())
            }
            (Mechanism::Login, 1) => Some(self.login.clone().into_bytes()),
            (Mechanism::Login, 2) => Some(self.password.expose().as_bytes().to_vec()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Credentials, Server, Step};

    #[test]
    fn each_client_satisfies_its_server() {
        for mechanism in Mechanism::ALL {
            let password = Secret::new("secret");
            let mut client = Client::choose([mechanism.name()], "ann", &password).expect("a known mechanism");
            let mut server = Server::new(mechanism);
            let found = std::iter::from_fn(|| server.respond(&client.next_response()?).ok())
                .find(|step| matches!(step, Step::Credentials(_)));
            assert_eq!(found, Some(Step::Credentials(Credentials { login: "ann".into(), password })));
        }
    }

    #[test]
    fn plain_is_preferred_and_unknown_offers_are_none() {
        let password = Secret::new("x");
        let client =
            Client::choose(["LOGIN", "SCRAM-SHA-1", "plain"], "ann", &password).expect("an offer we know");
        assert_eq!(client.mechanism(), Mechanism::Plain);
        assert!(Client::choose(["GSSAPI"], "ann", &password).is_none());
    }
}
