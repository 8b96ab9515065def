//! An issuer's private keys: signs tokens, and shows the public keys as JSON.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// Base64url without padding.
pub(crate) fn encode(octets: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

/// One private key, used with one algorithm.
pub(crate) struct Signer {
    algorithm: &'static str,
    key: Key,
}

enum Key {
    Rsa(Box<RsaKeyPair>, &'static dyn RsaEncoding),
    Ec(Box<EcdsaKeyPair>, &'static str),
    Ed(Box<Ed25519KeyPair>),
}

impl Signer {
    pub(crate) fn all() -> Vec<Self> {
        let rsa = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"].map(Self::rsa);
        rsa.into_iter().chain([Self::es256(), Self::es384(), Self::ed25519()]).collect()
    }

    pub(crate) fn rsa(algorithm: &'static str) -> Self {
        let encoding: &'static dyn RsaEncoding = match algorithm {
            "RS256" => &RSA_PKCS1_SHA256,
            "RS384" => &RSA_PKCS1_SHA384,
            "RS512" => &RSA_PKCS1_SHA512,
            "PS256" => &RSA_PSS_SHA256,
            "PS384" => &RSA_PSS_SHA384,
            _ => &RSA_PSS_SHA512,
        };
        Self { algorithm, key: Key::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()), encoding) }
    }

    pub(crate) fn es256() -> Self {
        Self::ec("ES256", "P-256", &ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    fn es384() -> Self {
        Self::ec("ES384", "P-384", &ECDSA_P384_SHA384_FIXED_SIGNING)
    }

    fn ec(algorithm: &'static str, curve: &'static str, signing: &'static EcdsaSigningAlgorithm) -> Self {
        Self { algorithm, key: Key::Ec(Box::new(EcdsaKeyPair::generate(signing).unwrap()), curve) }
    }

    pub(crate) fn ed25519() -> Self {
        Self { algorithm: "EdDSA", key: Key::Ed(Box::new(Ed25519KeyPair::generate().unwrap())) }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.algorithm
    }

    /// The public key (RFC 7518 §6, RFC 8037 §2).
    pub(crate) fn jwk(&self) -> Value {
        match &self.key {
            Key::Rsa(pair, _) => {
                // RSAPublicKey (RFC 8017 §A.1.1) of 2,048 bits: nine octets before the modulus, then the usual exponent.
                let n = &pair.public_key().as_ref()[9..265];
                json!({ "kty": "RSA", "n": encode(n), "e": "AQAB", "alg": self.algorithm })
            }
            Key::Ec(pair, curve) => {
                let (x, y) =
                    pair.public_key().as_ref()[1..].split_at((pair.public_key().as_ref().len() - 1) / 2);
                json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y), "use": "sig" })
            }
            Key::Ed(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref()) })
            }
        }
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_with(&json!({ "alg": self.algorithm, "typ": "JWT" }), claims)
    }

    /// With a header of its own, which may lie.
    pub(crate) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let signed =
            format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let random = SystemRandom::new();
        let signature = match &self.key {
            Key::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, signed.as_bytes(), &mut signature).unwrap();
                signature
            }
            Key::Ec(pair, _) => pair.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
            Key::Ed(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        format!("{signed}.{}", encode(&signature))
    }
}
