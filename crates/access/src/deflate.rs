//! DEFLATE in both directions (RFC 4978): what a client sends is inflated piece by piece, what it gets is deflated.

use std::io;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Octets inflated at once: a session sees no more of what a few octets can become before it acts on them.
const PIECE: usize = 16 * 1024;
/// Room that the deflated form of one piece needs at the most, and what waits inside the deflater.
const ROOM: usize = 96 * 1024;
/// What every flush ends with: an empty block without compression (RFC 1951 §3.2.4).
const FLUSHED: [u8; 4] = [0, 0, 0xff, 0xff];

/// What a client sends. It holds 32 KB of what came before, and what of the last read is not used yet.
#[derive(Debug)]
pub(crate) struct Inflater {
    state: Decompress,
    waiting: Vec<u8>,
    used: usize,
    /// The last octets that were used.
    tail: [u8; 4],
    is_over: bool,
}

impl Inflater {
    pub(crate) fn new() -> Self {
        let state = Decompress::new(false);
        Self { state, waiting: Vec::new(), used: 0, tail: [0xaa; 4], is_over: false }
    }

    /// Takes what came. Nothing must be waiting.
    pub(crate) fn receive(&mut self, octets: &[u8]) {
        self.waiting.drain(..self.used);
        self.used = 0;
        self.waiting.extend_from_slice(octets);
    }

    /// The next octets of the client; `None` when more must come.
    pub(crate) fn next_piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut piece = Vec::with_capacity(PIECE);
        loop {
            if self.is_over && self.used < self.waiting.len() {
                return Err(broken());
            }
            let used = self.step(self.waiting.len(), &mut piece)?;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
            if used == 0 || self.used == self.waiting.len() {
                // An idle connection holds no buffer beside the state.
                (self.waiting, self.used) = (Vec::new(), 0);
                return Ok(None);
            }
        }
    }

    /// The client compresses no more: what it has sent in clear behind that, once the end of what is compressed has come.
    /// It says nothing more in between (RFC 8437 §3), so that anything else there is a fault.
    pub(crate) fn end(&mut self) -> io::Result<Option<Vec<u8>>> {
        while !self.is_over && self.tail != FLUSHED {
            if self.used == self.waiting.len() {
                return Ok(None);
            }
            let mut piece = Vec::with_capacity(PIECE);
            self.step(self.used + 1, &mut piece)?;
            if !piece.is_empty() {
                return Err(broken());
            }
        }
        Ok(Some(self.waiting.split_off(self.used)))
    }

    /// Inflates what waits up to `end`, as far as `piece` has room.
    fn step(&mut self, end: usize, piece: &mut Vec<u8>) -> io::Result<usize> {
        let before = self.state.total_in();
        let octets = &self.waiting[self.used..end];
        let status = self.state.decompress_vec(octets, piece, FlushDecompress::Sync);
        let status = status.map_err(|_| broken())?;
        self.is_over |= status == Status::StreamEnd;
        let used = usize::try_from(self.state.total_in() - before).unwrap_or(octets.len());
        for octet in &octets[..used] {
            self.tail.rotate_left(1);
            self.tail[3] = *octet;
        }
        self.used += used;
        Ok(used)
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what the client sends is not DEFLATE")
}

/// What a client gets. Between its commands nothing is held: each answer begins without a memory of those before, and what
/// is flushed ends at an octet, so that the next deflater goes on where the last one stopped.
#[derive(Debug, Default)]
pub(crate) struct Deflater(Option<Box<Compress>>);

impl Deflater {
    /// The deflated form of some octets, as far as it is ready.
    pub(crate) fn write(&mut self, octets: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        for piece in octets.chunks(PIECE) {
            self.run(piece, FlushCompress::None, &mut out)?;
        }
        Ok(out)
    }

    /// All that is not out yet.
    pub(crate) fn flush(&mut self) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        if self.0.is_some() {
            self.run(&[], FlushCompress::Sync, &mut out)?;
        }
        Ok(out)
    }

    /// The answer is over, and flushed.
    pub(crate) fn rest(&mut self) {
        self.0 = None;
    }

    fn run(&mut self, mut octets: &[u8], flush: FlushCompress, out: &mut Vec<u8>) -> io::Result<()> {
        let state = self.0.get_or_insert_with(|| Box::new(Compress::new(Compression::fast(), false)));
        loop {
            out.reserve(ROOM);
            let before = state.total_in();
            state.compress_vec(octets, out, flush).map_err(io::Error::other)?;
            let used = usize::try_from(state.total_in() - before).unwrap_or(octets.len());
            octets = &octets[used..];
            // Room that is left says that nothing more waits inside.
            if octets.is_empty() && out.len() < out.capacity() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn inflated(inflater: &mut Inflater, octets: &[u8], most: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for octets in octets.chunks(most) {
            inflater.receive(octets);
            while let Some(piece) = inflater.next_piece().unwrap() {
                assert!(piece.len() <= PIECE);
                out.extend(piece);
            }
            assert_eq!(inflater.waiting.capacity(), 0);
        }
        out
    }

    #[test]
    fn what_is_deflated_in_answers_is_inflated_in_reads() {
        let texts =
            [b"* OK\r\n".to_vec(), vec![b'x'; 300_000], (0..=255).cycle().take(99_999).collect(), vec![]];
        for most in [1, 7, 1_000_000] {
            let (mut deflater, mut inflater) = (Deflater::default(), Inflater::new());
            for text in &texts {
                let mut out = Vec::new();
                for half in text.chunks(text.len() / 2 + 1) {
                    out.extend(deflater.write(half).unwrap());
                    out.extend(deflater.flush().unwrap());
                }
                deflater.rest();
                assert!(
                    deflater.flush().unwrap().is_empty(),
                    "nothing is said where there is nothing to say"
                );
                assert_eq!(inflated(&mut inflater, &out, most), *text);
            }
        }
    }

    #[test]
    fn a_bomb_comes_in_small_pieces() {
        let mut deflater = Deflater::default();
        let mut bomb = deflater.write(&vec![0; 50_000_000]).unwrap();
        bomb.extend(deflater.flush().unwrap());
        assert!(bomb.len() < 500_000);
        let mut inflater = Inflater::new();
        let mut total = 0;
        for octets in bomb.chunks(16 * 1024) {
            inflater.receive(octets);
            while let Some(piece) = inflater.next_piece().unwrap() {
                assert!(piece.capacity() <= PIECE);
                total += piece.len();
            }
        }
        assert_eq!(total, 50_000_000);
    }

    #[test]
    fn what_is_not_deflate_is_a_fault() {
        let mut inflater = Inflater::new();
        inflater.receive(b"a NOOP\r\nb NOOP\r\n");
        let heard = std::iter::from_fn(|| inflater.next_piece().transpose()).collect::<io::Result<Vec<_>>>();
        assert!(heard.is_err());
        // A stream that has ended does not go on.
        let mut whole = Vec::with_capacity(100);
        Compress::new(Compression::fast(), false)
            .compress_vec(b"a", &mut whole, FlushCompress::Finish)
            .unwrap();
        let mut inflater = Inflater::new();
        inflater.receive(&[&whole[..], b"b"].concat());
        assert_eq!(inflater.next_piece().unwrap(), Some(b"a".to_vec()));
        assert!(inflater.next_piece().is_err());
    }

    #[test]
    fn the_end_is_where_the_client_flushed() {
        const COMMAND: &[u8] = b"a UNAUTHENTICATE\r\n";
        let sync = {
            let mut deflater = Deflater::default();
            let mut out = deflater.write(COMMAND).unwrap();
            out.extend(deflater.flush().unwrap());
            out
        };
        let mut finish = Vec::with_capacity(100);
        let mut state = Compress::new(Compression::best(), false);
        state.compress_vec(COMMAND, &mut finish, FlushCompress::Finish).unwrap();
        for deflated in [sync, finish] {
            for most in [1, 3, 1_000] {
                let mut inflater = Inflater::new();
                let mut heard = Vec::new();
                let mut clear = None;
                for octets in deflated.chunks(most) {
                    assert_eq!(clear, None, "the end is at the end");
                    inflater.receive(octets);
                    while heard.len() < COMMAND.len()
                        && let Some(piece) = inflater.next_piece().unwrap()
                    {
                        heard.extend(piece);
                    }
                    if heard.len() == COMMAND.len() {
                        clear = inflater.end().unwrap();
                    }
                }
                assert_eq!((heard.as_slice(), clear), (COMMAND, Some(Vec::new())), "{most}");
            }
        }
        // Something that is said in between is a fault.
        let mut inflater = Inflater::new();
        let mut deflater = Deflater::default();
        let mut out = deflater.write(COMMAND).unwrap();
        out.extend(deflater.write(b"b NOOP\r\n").unwrap());
        out.extend(deflater.flush().unwrap());
        for octet in out {
            inflater.receive(&[octet]);
            match inflater.end() {
                Ok(None) => {}
                Err(_) => return,
                Ok(Some(_)) => panic!("the end was taken for granted"),
            }
        }
    }
}
