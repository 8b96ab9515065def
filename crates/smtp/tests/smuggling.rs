//! SMTP smuggling: no line end but CRLF around a dot ends a message, however it is sent (RFC 5321 §4.1.1.4).
#![allow(clippy::unwrap_used, reason = "tests")]

mod backend;

use backend::{Backend, Message};
use kings_smtp::server::{Event, Session, Trust};

/// What a broken peer may take for the end of a line.
const LINE_ENDS: [&[u8]; 7] = [b"\r", b"\n", b"\r\n", b"\n\r", b"\r\r\n", b"\0", b""];
const ENVELOPE: &[u8] = b"MAIL FROM:<joe@elsewhere.example>\r\nRCPT TO:<ann@here.example>\r\n";
const SMUGGLED: &[u8] = b"MAIL FROM:<evil@elsewhere.example>\r\nRCPT TO:<bob@here.example>\r\nDATA\r\n";

/// All line ends before and after the dot, each pair whole, one octet at a time, and in odd pieces: 147 runs.
#[test]
fn a_smuggled_message_is_never_stored() {
    for before in LINE_ENDS {
        for after in LINE_ENDS {
            let content =
                [b"Subject: x\r\n\r\ntext", before, b".", after, SMUGGLED, b"evil\r\n.\r\n"].concat();
            for sizes in [&[usize::MAX][..], &[1], &[3, 1, 7, 2, 64, 5]] {
                let what = format!("{} . {} in {sizes:?}", before.escape_ascii(), after.escape_ascii());
                let (output, messages) = converse(b"DATA\r\n", &content, sizes);
                judge(before, after, &output, &messages, &what);
            }
        }
    }
}

/// The same content in counted chunks, where no line ends the message: stored octet for octet, or not at all.
#[test]
fn a_smuggled_message_is_never_stored_by_bdat() {
    for before in LINE_ENDS {
        for after in LINE_ENDS {
            let content =
                [b"Subject: x\r\n\r\ntext", before, b".", after, SMUGGLED, b"evil\r\n.\r\n"].concat();
            for (chunk, sizes) in
                [usize::MAX, 7, 1, 64].iter().zip([&[usize::MAX][..], &[1], &[3, 1, 7], &[64]])
            {
                let what = format!("{} . {} by {chunk}", before.escape_ascii(), after.escape_ascii());
                let (output, messages) = converse(b"", &chunked(&content, *chunk), sizes);
                let is_clean = |end: &[u8]| end.is_empty() || end == b"\r\n";
                if is_clean(before) && is_clean(after) {
                    assert_eq!(messages.len(), 1, "{what}: {output}");
                    assert_eq!(messages[0].content, content, "{what}");
                } else {
                    assert!(messages.is_empty(), "{what}: {output}");
                    assert!(output.contains("\n550 5.5.2 "), "{what}: {output}");
                }
            }
        }
    }
}

/// BDAT and its chunk, over and over.
fn chunked(content: &[u8], size: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut rest = content;
    while !rest.is_empty() {
        let (chunk, left) = rest.split_at(rest.len().min(size));
        let last = if left.is_empty() { " LAST" } else { "" };
        wire.extend_from_slice(format!("BDAT {}{last}\r\n", chunk.len()).as_bytes());
        wire.extend_from_slice(chunk);
        rest = left;
    }
    wire
}

/// One result for one message: stored whole where all line ends are clean, else refused at the true end, and
/// the session with it.
fn judge(before: &[u8], after: &[u8], output: &str, messages: &[Message], what: &str) {
    let is_clean = |end: &[u8]| end.is_empty() || end == b"\r\n";
    if !is_clean(before) || !is_clean(after) {
        assert!(messages.is_empty(), "{what}: {output}");
        assert_eq!(output.matches("\n550 5.5.2 ").count(), 1, "{what}: {output}");
        assert!(output.ends_with(": lines must end with CR LF\r\n"), "{what}: {output}");
        return;
    }
    let is_end = before == b"\r\n" && after == b"\r\n";
    // Behind the one true end stands a transaction like any other, pipelined as it should not be or not.
    assert!(messages.len() == 1 || is_end, "{what}: {output}");
    let first = messages.first().expect(what);
    assert_eq!(first.envelope.reverse_path.to_string(), "<joe@elsewhere.example>", "{what}");
    let last_line: &[u8] = if is_end { b"text\r\n" } else { b"evil\r\n" };
    assert!(first.content.ends_with(last_line), "{what}");
}

/// Sends the content in pieces of the given sizes, over and over; stops where the server closes.
fn converse(start: &[u8], content: &[u8], sizes: &[usize]) -> (String, Vec<Message>) {
    let (mut session, mut backend) =
        (backend::session(25, 100_000, Trust::default(), true), Backend::default());
    let mut output = Vec::new();
    let mut is_open = true;
    let mut feed = |bytes: &[u8]| {
        if is_open {
            session.receive(bytes);
            is_open = draw_events(&mut session, &mut backend);
            output.extend(session.transmit());
        }
    };
    feed(b"EHLO client.example\r\n");
    feed(ENVELOPE);
    feed(start);
    let (mut rest, mut sizes) = (content, sizes.iter().cycle());
    while !rest.is_empty() {
        let (piece, left) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
        feed(piece);
        rest = left;
    }
    (String::from_utf8(output).unwrap(), backend.messages)
}

/// False when the server has closed.
fn draw_events(session: &mut Session, backend: &mut Backend) -> bool {
    while let Some(event) = session.next_event() {
        if event == Event::Closed {
            return false;
        }
        backend.answer(event, session);
    }
    true
}

/// The end of a message at the end of a buffer of the usual sizes.
#[test]
fn the_end_is_found_at_the_edge_of_every_buffer() {
    for size in [4_096, 8_192, 16_384, 65_536] {
        for past in 0..=5 {
            // The five octets CR LF . CR LF, of which `past` stand in the next buffer.
            let text = size + past - 5;
            let content = [&b"x".repeat(text)[..], b"\r\n.\r\n"].concat();
            let (output, messages) = converse(b"DATA\r\n", &content, &[size]);
            assert_eq!(messages.len(), 1, "{past} past {size}: {output}");
            assert_eq!(messages[0].content.len(), text + 2);
        }
    }
}
