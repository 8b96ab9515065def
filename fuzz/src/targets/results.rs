//! Target for Authentication-Results: what we write of anything, and what we take for ours.

use kings_mail::domain::Domain;
use kings_mail::header::{Fields, all};
use kings_msgauth::results::{FIELD, MethodResult, claims_to_be, field, read, without_forged};

/// Whatever peers said, what we write is one field of short printable lines that is known for ours again; no field
/// that claims to be ours is left behind, and nothing else goes.
pub fn auth_results(data: &[u8]) {
    let ours = Domain::parse("mail.example.org").expect("a domain");
    let text = String::from_utf8_lossy(data);
    let result = MethodResult::new("dkim", "pass").because(text.as_ref()).about("header.d", text.as_ref());
    let written = field(&ours, &[result.clone(), result]);
    assert!(written.bytes().all(|octet| (b' '..=b'~').contains(&octet) || b"\r\n\t".contains(&octet)));
    assert!(written.trim_end().split("\r\n").skip(1).all(|line| line.starts_with('\t') && line.len() < 998));
    assert_eq!(without_forged(&ours, written.as_bytes()), Some(Vec::new()));
    // What we write is read again, and what others write ends in an answer.
    let value = written.split_once(':').map(|(_, value)| value.replace("\r\n", "")).unwrap_or_default();
    let again = read(&value).expect("our own field can be read");
    assert!(again.len() == 2 && again.iter().all(|said| said.method == "dkim" && said.result == "pass"));
    let _ = read(&text);
    let kept = without_forged(&ours, data).unwrap_or_else(|| data.to_vec());
    assert!(all(&kept, FIELD).all(|field| !claims_to_be(&ours, field.value)));
    let others = |head: &[u8]| Fields::new(head).filter(|field| !field.is(FIELD)).count();
    assert_eq!(others(&kept), others(data));
}
