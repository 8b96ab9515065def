//! The content of a message on its way, with dots or in chunks.

use super::Session;
use super::phase::{Form, Phase, Sending};

impl Session {
    /// Takes a piece of content after [`Event::SendContent`]; its wire form waits in [`Session::transmit`]. What is
    /// over the octets asked for is not sent.
    pub fn content(&mut self, bytes: &[u8]) {
        let Phase::Content(Sending { left, form }) = &mut self.phase else { return };
        let used = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
        let bytes = &bytes[..used];
        *left -= used as u64;
        match form {
            Form::Dots(encoder) => encoder.encode(bytes, &mut self.output),
            Form::Chunk(next) => {
                self.output.extend_from_slice(bytes);
                // From here on the server has all it needs: there is no dot to hold back.
                if *left == 0 {
                    self.phase = std::mem::replace(&mut **next, Phase::Closed);
                }
            }
        }
    }

    /// All octets asked for have been given. With fewer the session is over: half a message must not look whole.
    pub fn end_content(&mut self) {
        match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Content(Sending { left: 0, form: Form::Dots(encoder) }) => {
                encoder.finish(&mut self.output);
                self.phase = Phase::FinalReply;
            }
            Phase::Content(_) => {}
            sent => self.phase = sent,
        }
    }
}
