//! TLS as Postfix tells of it: the names are OpenSSL's.

/// Version, cipher suite and bits of its key, from `TLSv1_3 TLS13_AES_256_GCM_SHA384`; empty and 0 in clear.
pub(super) fn told(description: Option<&str>) -> (String, String, u16) {
    let Some((version, suite)) = description.and_then(|text| text.split_once(' ')) else {
        return (String::new(), String::new(), 0);
    };
    let bits = if suite.contains("AES_128") { 128 } else { 256 };
    (version.replace('_', "."), cipher(suite), bits)
}

fn cipher(suite: &str) -> String {
    if let Some(rest) = suite.strip_prefix("TLS13_") {
        return format!("TLS_{rest}");
    }
    let plain = suite.trim_start_matches("TLS_").replace("_WITH_", "_").replace('_', "-");
    match plain.strip_suffix("-POLY1305-SHA256") {
        Some(chacha) => format!("{chacha}-POLY1305"),
        None => plain.replace("AES-", "AES"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_have_the_names_that_openssl_gives_them() {
        for (description, expected) in [
            ("TLSv1_3 TLS13_AES_256_GCM_SHA384", ("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256)),
            ("TLSv1_3 TLS13_AES_128_GCM_SHA256", ("TLSv1.3", "TLS_AES_128_GCM_SHA256", 128)),
            ("TLSv1_3 TLS13_CHACHA20_POLY1305_SHA256", ("TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256", 256)),
            (
                "TLSv1_2 TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
                ("TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384", 256),
            ),
            (
                "TLSv1_2 TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
                ("TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", 128),
            ),
            (
                "TLSv1_2 TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
                ("TLSv1.2", "ECDHE-RSA-CHACHA20-POLY1305", 256),
            ),
        ] {
            let (version, cipher, bits) = told(Some(description));
            assert_eq!((version.as_str(), cipher.as_str(), bits), expected);
        }
        assert_eq!(told(None), (String::new(), String::new(), 0));
    }
}
