//! The one message of OAUTHBEARER (RFC 7628 §3.1) and of XOAUTH2, which came before it.

use crate::secret::Secret;
use crate::server::{BadExchange, Claim};

/// Between key and value pairs, and twice at the end.
const SEPARATOR: char = '\u{1}';

/// `n,a=ann@example.org,^Ahost=...^Aport=...^Aauth=Bearer TOKEN^A^A`
pub(crate) fn oauthbearer(message: &str) -> Result<Claim, BadExchange> {
    let (header, pairs) = message.split_once(SEPARATOR).ok_or(BadExchange::Malformed)?;
    let mut parts = header.split(',');
    let (flag, identity) = (parts.next(), parts.next().ok_or(BadExchange::Malformed)?);
    // There is no channel binding in this mechanism (RFC 7628 §3).
    if !matches!(flag, Some("n" | "y")) || parts.next() != Some("") || parts.next().is_some() {
        return Err(BadExchange::Malformed);
    }
    let login = match identity {
        "" => None,
        text => Some(unescape(text.strip_prefix("a=").ok_or(BadExchange::Malformed)?)?),
    };
    Ok(Claim::Token { login, token: bearer(pairs)? })
}

/// `user=ann@example.org^Aauth=Bearer TOKEN^A^A`
pub(crate) fn xoauth2(message: &str) -> Result<Claim, BadExchange> {
    let (user, pairs) = message.split_once(SEPARATOR).ok_or(BadExchange::Malformed)?;
    let login = user.strip_prefix("user=").filter(|login| !login.is_empty() && !login.contains('\0'));
    let login = Some(login.ok_or(BadExchange::Malformed)?.to_owned());
    Ok(Claim::Token { login, token: bearer(pairs)? })
}

/// The token among the pairs, each ended by a separator and all of them by one more. Unknown keys may stand there.
fn bearer(pairs: &str) -> Result<Secret, BadExchange> {
    let pairs = pairs.strip_suffix("\u{1}\u{1}").ok_or(BadExchange::Malformed)?;
    let mut values = pairs.split(SEPARATOR).filter_map(|pair| pair.strip_prefix("auth="));
    let (Some(value), None) = (values.next(), values.next()) else { return Err(BadExchange::Malformed) };
    let (scheme, token) = value.split_once(' ').ok_or(BadExchange::Malformed)?;
    if !scheme.eq_ignore_ascii_case("Bearer") || !is_token(token) {
        return Err(BadExchange::Malformed);
    }
    Ok(Secret::new(token))
}

/// RFC 6750 §2.1 `b64token`.
fn is_token(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

/// A name in the header of GS2 (RFC 5801 §4).
fn unescape(text: &str) -> Result<String, BadExchange> {
    let name = text.replace("=2C", ",");
    let name = name.replace("=3D", "=");
    if name.is_empty() || name.contains('\0') { Err(BadExchange::Malformed) } else { Ok(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(login: Option<&str>, token: &str) -> Claim {
        Claim::Token { login: login.map(str::to_owned), token: Secret::new(token) }
    }

    /// RFC 7628 §4.1
    #[test]
    fn the_example_of_the_rfc_is_read() {
        let message = "n,a=user@example.com,\u{1}host=server.example.com\u{1}port=143\u{1}auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\u{1}\u{1}";
        assert_eq!(
            oauthbearer(message),
            Ok(claim(Some("user@example.com"), "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="))
        );
        assert_eq!(oauthbearer("n,,\u{1}auth=bearer x\u{1}\u{1}"), Ok(claim(None, "x")));
        assert_eq!(
            xoauth2("user=ann@example.org\u{1}auth=Bearer x.y-z\u{1}\u{1}"),
            Ok(claim(Some("ann@example.org"), "x.y-z"))
        );
    }

    #[test]
    fn broken_messages_are_refused() {
        for message in [
            "",
            "n,,",
            "n,,\u{1}",
            "n,,\u{1}\u{1}",
            "n,,\u{1}auth=Bearer x\u{1}",
            "n,,\u{1}auth=Basic x\u{1}\u{1}",
            "n,,\u{1}auth=Bearer \u{1}\u{1}",
            "n,,\u{1}auth=Bearer a b\u{1}\u{1}",
            "n,,\u{1}auth=Bearer x\u{1}auth=Bearer y\u{1}\u{1}",
            "p=tls-exporter,,\u{1}auth=Bearer x\u{1}\u{1}",
            "n,ann,\u{1}auth=Bearer x\u{1}\u{1}",
            "n,a=,\u{1}auth=Bearer x\u{1}\u{1}",
            "n,,x\u{1}auth=Bearer x\u{1}\u{1}",
            "n\u{1}auth=Bearer x\u{1}\u{1}",
        ] {
            assert_eq!(oauthbearer(message), Err(BadExchange::Malformed), "{message:?}");
        }
        for message in [
            "",
            "user=\u{1}auth=Bearer x\u{1}\u{1}",
            "auth=Bearer x\u{1}\u{1}",
            "user=ann\u{1}\u{1}",
            "n,,\u{1}auth=Bearer x\u{1}\u{1}",
        ] {
            assert_eq!(xoauth2(message), Err(BadExchange::Malformed), "{message:?}");
        }
    }
}
