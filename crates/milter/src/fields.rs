//! Reads the data of a packet piece by piece: numbers, strings that end in NUL, and the rest.

/// The data of a packet does not have the form that its letter asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("packet {:?} is malformed", char::from(*.0))]
pub struct Malformed(pub u8);

/// What is left of one packet.
pub(crate) struct Fields<'a> {
    letter: u8,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(letter: u8, data: &'a [u8]) -> Self {
        Self { letter, rest: data }
    }

    fn malformed(&self) -> Malformed {
        Malformed(self.letter)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.rest.split_first().ok_or(self.malformed())?;
        self.rest = rest;
        Ok(*first)
    }

    pub(crate) fn short(&mut self) -> Result<u16, Malformed> {
        let (octets, rest) = self.rest.split_first_chunk().ok_or(self.malformed())?;
        self.rest = rest;
        Ok(u16::from_be_bytes(*octets))
    }

    pub(crate) fn long(&mut self) -> Result<u32, Malformed> {
        let (octets, rest) = self.rest.split_first_chunk().ok_or(self.malformed())?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*octets))
    }

    /// A string without its NUL. The last one of a packet may lack it, as some filters send it.
    pub(crate) fn string(&mut self) -> Result<Vec<u8>, Malformed> {
        if self.rest.is_empty() {
            return Err(self.malformed());
        }
        let end = self.rest.iter().position(|byte| *byte == 0);
        let (text, rest) = match end {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
            None => (self.rest, &[][..]),
        };
        self.rest = rest;
        Ok(text.to_vec())
    }

    /// Every string that is left.
    pub(crate) fn strings(&mut self) -> Result<Vec<Vec<u8>>, Malformed> {
        let mut strings = Vec::new();
        while !self.rest.is_empty() {
            strings.push(self.string()?);
        }
        Ok(strings)
    }

    pub(crate) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.rest).to_vec()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Nothing may be left but what older and newer peers append: one NUL.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if matches!(self.rest, [] | [0]) { Ok(()) } else { Err(self.malformed()) }
    }
}

/// Appends a string and its NUL. A NUL inside would end it early for the peer, so it is left out.
pub(crate) fn put(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(text.iter().copied().filter(|byte| *byte != 0));
    out.push(0);
}
