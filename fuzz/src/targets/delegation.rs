//! Target for the policy delegation of `kings-mta`: what another program answers.

use kings_mta::delegation::Action;

/// Whatever the service answers, it makes one refusal in one line, or one header field in one line.
pub fn policy_answer(data: &[u8]) {
    match Action::read(data) {
        Ok(Action::Refuse(reply) | Action::DeferIfPermit(reply) | Action::DeferIfReject(reply)) => {
            let mut wire = Vec::new();
            reply.write_to(&mut wire);
            assert!((400..600).contains(&reply.code) && wire.len() <= 512);
            assert!(reply.status.is_none_or(|status| u16::from(status.0) == reply.code / 100));
            let wire = String::from_utf8_lossy(&wire);
            assert!(wire.is_ascii() && wire.lines().count() == 1 && wire.ends_with("\r\n"));
        }
        Ok(Action::Prepend(field)) => {
            // A tab is white space of a field (RFC 5322 §2.2).
            assert!(field.len() <= 998 && !field.contains(|c: char| c.is_control() && c != '\t'));
            let (name, _) = field.split_once(':').unwrap_or_default();
            assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()));
        }
        Ok(Action::Note(text) | Action::Hold(text)) => {
            assert!(text.chars().count() <= 400 && !text.contains(char::is_control));
        }
        Ok(Action::Redirect(address) | Action::Bcc(address)) => {
            assert!(!address.to_string().contains(char::is_control));
        }
        Ok(Action::Continue | Action::Permit | Action::Discard) | Err(_) => {}
    }
}
