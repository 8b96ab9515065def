//! Names of ours in the From field of a message from outside: never believed in silence.

use kings_mail::domain::Domain;
use kings_msgauth::dmarc::DmarcResult;

use crate::authenticate::Check;
use crate::facts::Verdict;

/// The names that only we, and those we let, may write from.
pub(crate) struct Ours<'a> {
    /// Our own name.
    pub(crate) hostname: &'a Domain,
    /// Whether a domain is hosted here.
    pub(crate) hosts: &'a (dyn Fn(&Domain) -> bool + Sync),
}

impl Ours<'_> {
    /// What follows where `author` is of ours, and DMARC came to `result` or was not asked; `None` where there is nothing
    /// to say.
    ///
    /// Somebody else may be let to write from a name below ours, a newsletter's sender say, and prove it by means that DMARC
    /// is not told of: there a failure counts, and the rest is told. Where DMARC is not to count, it is told as well.
    pub(crate) fn unproven(
        &self,
        author: &Domain,
        dmarc: Check,
        result: Option<DmarcResult>,
    ) -> Option<Verdict> {
        if result == Some(DmarcResult::Pass) {
            return None;
        }
        let is_ours = author == self.hostname || (self.hosts)(author);
        let mut above = std::iter::successors(author.parent(), Domain::parent);
        if !is_ours && !above.any(|domain| (self.hosts)(&domain)) {
            return None;
        }
        let counts = dmarc == Check::Enforce && (is_ours || result == Some(DmarcResult::Fail));
        Some(if counts { Verdict::Junk } else { Verdict::Accept })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn names_of_ours_are_believed_with_proof_alone() {
        let hostname = Domain::parse("mail.example.com").unwrap();
        let hosts = |domain: &Domain| domain.as_str() == "example.org";
        let ours = Ours { hostname: &hostname, hosts: &hosts };
        let (enforce, tag, off) = (Check::Enforce, Check::Tag, Check::Off);
        let (pass, fail, none) = (Some(DmarcResult::Pass), Some(DmarcResult::Fail), Some(DmarcResult::None));
        let (junk, told) = (Some(Verdict::Junk), Some(Verdict::Accept));
        let cases = [
            ("example.org", enforce, pass, None),
            ("example.org", enforce, fail, junk),
            ("example.org", enforce, none, junk),
            ("example.org", enforce, Some(DmarcResult::TempError), junk),
            ("example.org", tag, fail, told),
            ("example.org", tag, pass, None),
            ("example.org", off, None, told),
            ("mail.example.com", enforce, none, junk),
            ("mail.example.com", off, None, told),
            ("news.example.org", enforce, fail, junk),
            ("a.news.example.org", enforce, none, told),
            ("news.example.org", enforce, pass, None),
            ("news.example.org", tag, fail, told),
            // Above ours, beside it, and alike.
            ("example.com", enforce, fail, None),
            ("org", enforce, fail, None),
            ("notexample.org", enforce, fail, None),
            ("sub.mail.example.com", enforce, fail, None),
        ];
        for (author, check, result, expected) in cases {
            let author = Domain::parse(author).unwrap();
            assert_eq!(ours.unproven(&author, check, result), expected, "{author} {check:?} {result:?}");
        }
    }
}
