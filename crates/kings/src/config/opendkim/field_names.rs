//! `SignHeaders`, `OmitHeaders` and `OversignHeaders`: which fields signatures cover, and names that no field can have.

use kings_msgauth::dkim::opendkim::conf::{self, NotAName};
use kings_msgauth::dkim::{Cover, Rules};

use super::Reader;

impl Reader {
    /// `SignHeaders` without `OmitHeaders`, and once more for `OversignHeaders`.
    pub(super) fn signed_names(&mut self) -> Vec<(String, Cover)> {
        let usual: Vec<String> = Rules::default().names.into_iter().map(|(name, _)| name).collect();
        let signed = self.field_names("SignHeaders").map(|entries| names(&entries, &usual)).unwrap_or(usual);
        let omitted = self.field_names("OmitHeaders").map(|entries| names(&entries, &[])).unwrap_or_default();
        let oversigned = self.oversigned_names();
        let rest = signed.into_iter().filter(|name| !omitted.contains(name) && !oversigned.contains(name));
        let rest = rest.map(|name| (name, Cover::Present)).collect::<Vec<_>>();
        let mut covers: Vec<_> =
            oversigned.into_iter().map(|name| (name, Cover::OneMore)).chain(rest).collect();
        if covers.iter().all(|(name, _)| name != "from") {
            covers.insert(0, ("from".to_owned(), Cover::Present));
        }
        covers
    }

    /// A list of names, with `*` alone, `+` and `-` where wanted. OpenDKIM starts with names that no field has and never
    /// finds them.
    fn field_names(&mut self, name: &str) -> Option<Vec<String>> {
        let place = self.place(name);
        let mut entries = self.entries(name)?;
        entries.retain(|entry| {
            let bare = entry.strip_prefix(['+', '-']).unwrap_or(entry);
            let fault = if entry == "*" { None } else { conf::field_name(bare).err() };
            if let Some(fault) = &fault {
                self.warnings.push(format!("{place}: no field is meant by {entry:?}: {fault}"));
            }
            fault.is_none()
        });
        Some(entries)
    }

    /// These stand in each `h=` whether there is such a field or not. What is no name there makes each signature a broken
    /// one (RFC 6376 §3.5), which a real OpenDKIM sends out.
    fn oversigned_names(&mut self) -> Vec<String> {
        let place = self.place("OversignHeaders");
        let entries = self.entries("OversignHeaders").unwrap_or_default();
        for entry in &entries {
            match conf::field_name(entry) {
                Ok(()) if entry.starts_with(['+', '-']) => self.warnings.push(format!(
                    "{place}: OpenDKIM takes {entry:?} for the whole name of a field: write names alone"
                )),
                Err(NotAName::Pattern) if entry == "*" => self.warnings.push(format!(
                    "{place}: OpenDKIM takes \"*\" for the name of a field here, and none is meant by it: write names alone"
                )),
                Ok(()) => {}
                Err(fault) => self.complain(format!("{place}: {entry:?} is no name of a field: {fault}")),
            }
        }
        names(&entries, &[])
    }
}

fn names(entries: &[String], usual: &[String]) -> Vec<String> {
    conf::field_names(entries.iter().map(String::as_str), usual)
}
