//! Header fields that are written word by word and folded where a line would get too long.

/// Longest line, in octets without CRLF (RFC 5322 §2.1.1).
const WIDTH: usize = 78;

/// A field in the making.
pub(crate) struct Folder {
    text: String,
    line_start: usize,
}

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        Self { text: name.to_owned(), line_start: 0 }
    }

    /// Appends a word that begins with a space, on a line of its own where it fits on none.
    pub(crate) fn word(&mut self, word: &str) {
        if self.column() + word.len() > WIDTH && self.column() > 1 {
            self.fold();
            self.text.push_str(word);
        } else {
            self.text.push_str(word);
        }
    }

    /// Appends a list parted by colons, folded behind them, and a semicolon.
    pub(crate) fn list(&mut self, tag: &str, items: &[String]) {
        let last = items.len().saturating_sub(1);
        for (number, item) in items.iter().enumerate() {
            let start = if number == 0 { tag } else { "" };
            let end = if number == last { ';' } else { ':' };
            let item = format!("{start}{item}{end}");
            match number {
                0 => self.word(&item),
                _ => self.piece(&item),
            }
        }
    }

    fn piece(&mut self, piece: &str) {
        if self.column() + piece.len() > WIDTH && self.column() > 1 {
            self.fold();
            self.text.push(' ');
        }
        self.text.push_str(piece);
    }

    /// Appends base64, which may be folded anywhere.
    pub(crate) fn base64(&mut self, mut text: &str) {
        while !text.is_empty() {
            if self.column() >= WIDTH {
                self.fold();
                self.text.push(' ');
            }
            let (line, rest) = text.split_at((WIDTH - self.column()).min(text.len()));
            self.text.push_str(line);
            text = rest;
        }
    }

    /// What is there so far.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The whole field with its CRLF.
    pub(crate) fn finish(mut self) -> String {
        self.text.push_str("\r\n");
        self.text
    }

    fn column(&self) -> usize {
        self.text.len() - self.line_start
    }

    fn fold(&mut self) {
        self.text.push_str("\r\n");
        self.line_start = self.text.len();
    }
}
