//! Cuts a byte stream into packets: a length, a letter, and what belongs to the letter.

/// Most octets of a body in one packet (`MILTER_CHUNK_SIZE`), so that every filter can take it.
pub const MAX_CHUNK: usize = 65_535;
/// Most octets of one packet after its length, letter included: the largest size that the protocol can agree on
/// (`SMFIP_MDS_1M`), and the letter.
pub const MAX_PACKET: usize = 1_048_576;
/// Octets of the length in front of a packet.
const LENGTH: usize = 4;

/// The peer announced a packet that is empty or over [`MAX_PACKET`]; what follows cannot be read any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a packet of {0} octets is not part of the protocol")]
pub struct TooLarge(pub u32);

/// Keeps what has been received and not yet read.
#[derive(Debug, Default)]
pub struct Packets {
    input: Vec<u8>,
    /// How far `input` has been read; cut off when it is used up.
    start: usize,
}

impl Packets {
    /// Takes bytes from the peer.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// The next packet, its letter and its data; `None` when it is not there yet.
    pub fn next_packet(&mut self) -> Result<Option<(u8, &[u8])>, TooLarge> {
        self.tidy();
        let unread = &self.input[self.start..];
        let Some((length, rest)) = unread.split_first_chunk::<LENGTH>() else { return Ok(None) };
        let announced = u32::from_be_bytes(*length);
        let length = usize::try_from(announced).unwrap_or(usize::MAX);
        if !(1..=MAX_PACKET).contains(&length) {
            return Err(TooLarge(announced));
        }
        if rest.len() < length {
            return Ok(None);
        }
        let from = self.start + LENGTH;
        self.start = from + length;
        Ok(self.input[from..from + length].split_first().map(|(letter, data)| (*letter, data)))
    }

    /// An idle connection keeps no buffer, and what was read does not pile up.
    fn tidy(&mut self) {
        if self.start == self.input.len() {
            self.input = Vec::new();
        } else {
            self.input.drain(..self.start);
        }
        self.start = 0;
    }
}

/// Appends one packet. `data` is at most [`MAX_PACKET`] less one octet.
pub(crate) fn write(out: &mut Vec<u8>, letter: u8, data: &[u8]) {
    debug_assert!(data.len() < MAX_PACKET, "a packet nobody can read");
    let length = u32::try_from(data.len() + 1).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.push(letter);
    out.extend_from_slice(data);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn packets_come_whole_however_they_are_cut() {
        let mut wire = Vec::new();
        write(&mut wire, b'H', b"host\0");
        write(&mut wire, b'N', b"");
        write(&mut wire, b'B', &vec![7; 70_000]);
        for size in [1, 3, 4, 5, 4_096, wire.len()] {
            let mut packets = Packets::default();
            let mut seen = Vec::new();
            for piece in wire.chunks(size) {
                packets.receive(piece);
                while let Some((letter, data)) = packets.next_packet().unwrap() {
                    seen.push((letter, data.to_vec()));
                }
            }
            assert_eq!(seen, [(b'H', b"host\0".to_vec()), (b'N', vec![]), (b'B', vec![7; 70_000])]);
        }
    }

    #[test]
    fn sizes_outside_the_protocol_are_faults_before_their_data_comes() {
        for (length, fault) in
            [(0, true), (1, false), (1_048_576, false), (1_048_577, true), (u32::MAX, true)]
        {
            let mut packets = Packets::default();
            packets.receive(&length.to_be_bytes());
            assert_eq!(packets.next_packet().is_err(), fault, "{length}");
        }
    }
}
