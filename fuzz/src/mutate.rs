//! A small mutator: changes an input at random, the same way for the same seed.

/// Longest input that is made, in octets; long enough for every limit of a line or a literal before login.
pub const MAX_INPUT: usize = 64 * 1024;

/// A repeatable source of chance: SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The same seed gives the same sequence.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`; 0 if `bound` is 0. The bias of the remainder does not matter here.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = (bound as u64).max(1);
        usize::try_from(self.next() % bound).expect("smaller than a usize")
    }

    fn octet(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// One of `items`, `None` if there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }

    /// A range within `length`, mostly short.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let longest = if self.below(4) == 0 { length } else { 16 };
        start..(start + self.below(longest + 1)).min(length)
    }
}

/// One to eight changes to `input`; `other` gives material for crossing over, `dictionary` the tokens of
/// the protocol.
pub fn mutate(input: &[u8], other: &[u8], dictionary: &[&str], random: &mut Random) -> Vec<u8> {
    let mut out = input.to_vec();
    for _ in 0..=random.below(8) {
        change(&mut out, other, dictionary, random);
        out.truncate(MAX_INPUT);
    }
    out
}

fn change(out: &mut Vec<u8>, other: &[u8], dictionary: &[&str], random: &mut Random) {
    let place = random.range(out.len());
    let token = random.pick(dictionary).map_or(&b"\r\n"[..], |token| token.as_bytes());
    match random.below(10) {
        0 => flip_bit(out, random),
        1 => insert(out, place.start, &[random.octet()]),
        2 => drop(out.drain(place)),
        3 => repeat(out, place, random),
        4 => out.truncate(place.start),
        5 | 6 => insert(out, place.start, token),
        7 => drop(out.splice(place, token.iter().copied())),
        8 => insert(out, place.start, &other[random.range(other.len())]),
        _ => {
            out.truncate(place.start);
            out.extend_from_slice(&other[random.below(other.len() + 1)..]);
        }
    }
}

fn flip_bit(out: &mut [u8], random: &mut Random) {
    let at = random.below(out.len());
    if let Some(octet) = out.get_mut(at) {
        *octet ^= 1 << random.below(8);
    }
}

fn insert(out: &mut Vec<u8>, at: usize, octets: &[u8]) {
    drop(out.splice(at..at, octets.iter().copied()));
}

/// Repeats a piece a few times, or now and then until the input is as long as it may be: what is
/// quadratic shows itself only there.
fn repeat(out: &mut Vec<u8>, place: std::ops::Range<usize>, random: &mut Random) {
    let room = MAX_INPUT.saturating_sub(out.len()) / place.len().max(1);
    let times = if random.below(64) == 0 { room } else { random.below(8).min(room) };
    let piece = out[place.clone()].repeat(times);
    insert(out, place.end, &piece);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_inputs() {
        let run = |seed| {
            let mut random = Random::new(seed);
            let mut input = b"MAIL FROM:<ann@example.org>\r\n".to_vec();
            for _ in 0..1_000 {
                input = mutate(&input, b"RCPT TO:<bob@example.org>\r\n", &["DATA", "\r\n.\r\n"], &mut random);
            }
            input
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn every_change_survives_empty_material() {
        let mut random = Random::new(3);
        for _ in 0..10_000 {
            assert!(mutate(b"", b"", &[], &mut random).len() <= MAX_INPUT);
        }
    }
}
