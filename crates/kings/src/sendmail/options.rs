//! The command line of `sendmail`, as Postfix's sendmail(1) reads it.

use std::ffi::OsString;
use std::path::PathBuf;

/// What the program is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// `-bm`: deliver a message from standard input.
    #[default]
    Deliver,
    /// `-bs`: speak SMTP on standard input and output.
    Smtp,
    /// `-bp`, and `mailq`: list the queue.
    Queue,
    /// `-bi`, `-I`, and `newaliases`.
    Aliases,
    /// `-q`: try what waits.
    Flush,
    /// `-bv`: tell whether mail to the recipients would be taken.
    Verify,
}

/// Everything the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    /// `-t`: recipients stand in the header, beside those of the command line.
    pub(crate) from_header: bool,
    /// `-i`, `-oi`: a line with only a dot does not end the message.
    pub(crate) keep_dots: bool,
    /// `-f`, `-r`: the reverse-path.
    pub(crate) sender: Option<String>,
    /// `-F`: the author's name.
    pub(crate) full_name: Option<String>,
    /// `-v`: show the dialogue.
    pub(crate) verbose: bool,
    /// `-N`: when to report (RFC 3461 §4.1), as NOTIFY says it.
    pub(crate) notify: Option<String>,
    /// `-R`: how much to return, as RET says it.
    pub(crate) ret: Option<&'static str>,
    /// `-XV`: each recipient stands in a reverse-path of its own, behind the first of these and with the second for its `@`
    /// (VERP).
    pub(crate) verp: Option<(char, char)>,
    /// `-V`: the sender's own name for the message.
    pub(crate) envelope_id: Option<String>,
    /// `-q ID`, `-qIID`: only this entry.
    pub(crate) entry: Option<String>,
    /// `-qRSITE`: only mail for this domain.
    pub(crate) site: Option<String>,
    /// `-qSSENDER`: only mail of senders with this in their address.
    pub(crate) of: Option<String>,
    /// `-C`: the config.
    pub(crate) config: Option<PathBuf>,
    pub(crate) recipients: Vec<String>,
}

impl Options {
    /// Reads the arguments behind the program's name; what cannot be done is told in the error.
    pub(crate) fn parse(mode: Mode, arguments: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut options = Self { mode, ..Self::default() };
        let mut arguments = arguments.map(|argument| {
            argument.into_string().map_err(|argument| format!("{} is no text", argument.display()))
        });
        while let Some(argument) = arguments.next().transpose()? {
            match argument.strip_prefix('-') {
                Some("-") => {
                    options.recipients = arguments.collect::<Result<_, _>>()?;
                    break;
                }
                Some(flags) if !flags.is_empty() => options.flags(flags, &mut arguments)?,
                _ => {
                    // The first recipient ends the options, as getopt does.
                    options.recipients.push(argument);
                    options.recipients.extend(arguments.by_ref().collect::<Result<Vec<_>, _>>()?);
                }
            }
        }
        Ok(options)
    }

    /// One argument: letters without a value may stand together, a letter with one takes the rest.
    fn flags(
        &mut self,
        flags: &str,
        more: &mut impl Iterator<Item = Result<String, String>>,
    ) -> Result<(), String> {
        for (at, letter) in flags.char_indices() {
            let rest = &flags[at + letter.len_utf8()..];
            if let Some(optional) = self.letter(letter, rest)? {
                if optional {
                    return Ok(());
                }
                let value = if rest.is_empty() {
                    more.next().transpose()?.ok_or_else(|| format!("-{letter} needs a value"))?
                } else {
                    rest.to_owned()
                };
                return self.value(letter, value);
            }
        }
        Ok(())
    }

    /// A letter by itself: `None` when it stands alone, true when it has used the rest, false when it needs a value.
    fn letter(&mut self, letter: char, rest: &str) -> Result<Option<bool>, String> {
        match letter {
            't' => self.from_header = true,
            'i' => self.keep_dots = true,
            'v' => self.verbose = true,
            'I' => self.mode = Mode::Aliases,
            // Sendmail's habits that mean nothing here.
            'G' | 'U' | 'c' | 'n' | 'm' | 's' | 'x' | 'E' => {}
            // A value that stands in the same argument, or nowhere.
            'd' => return Ok(Some(true)),
            'q' => {
                self.flush(rest)?;
                return Ok(Some(true));
            }
            'f' | 'r' | 'F' | 'b' | 'B' | 'N' | 'R' | 'V' | 'C' | 'O' | 'L' | 'X' | 'h' | 'p' | 'o' | 'e'
            | 'A' => {
                return Ok(Some(false));
            }
            _ => return Err(format!("option -{letter} is not known")),
        }
        Ok(None)
    }

    fn flush(&mut self, rest: &str) -> Result<(), String> {
        self.mode = Mode::Flush;
        let value = |prefix| rest.strip_prefix(prefix).filter(|value| !value.is_empty()).map(str::to_owned);
        self.entry = value('I');
        self.site = value('R');
        self.of = value('S');
        let names_some = self.entry.is_some() || self.site.is_some() || self.of.is_some();
        if !rest.is_empty() && !names_some {
            return Err(format!(
                "-q{rest}: the server tries what waits by itself; -q alone tries it now, -qIID one entry, \
                 -qRSITE what is for a domain, -qSSENDER what is from a sender"
            ));
        }
        Ok(())
    }

    fn value(&mut self, letter: char, value: String) -> Result<(), String> {
        match letter {
            'f' | 'r' => self.sender = Some(value),
            'F' => self.full_name = Some(value),
            'C' => self.config = Some(value.into()),
            'N' => self.notify = Some(notify(&value)?),
            'R' => {
                self.ret = Some(match value.to_ascii_lowercase().as_str() {
                    "full" => "FULL",
                    "hdrs" => "HDRS",
                    _ => return Err(format!("-R {value}: full or hdrs")),
                });
            }
            'V' => self.envelope_id = Some(value),
            'o' => self.keep_dots |= value == "i",
            'X' if value.starts_with('V') => self.verp = Some(verp(&value[1..])?),
            'b' => self.mode = mode(&value)?,
            'B' if !["7BIT", "8BITMIME"].contains(&value.to_ascii_uppercase().as_str()) => {
                return Err(format!("-B {value}: 7BIT or 8BITMIME"));
            }
            // -O option=value, -e mode, -A role, -L tag, -X log, -h hops, -p protocol: nothing here depends on them.
            _ => {}
        }
        Ok(())
    }
}

fn mode(value: &str) -> Result<Mode, String> {
    match value {
        "m" => Ok(Mode::Deliver),
        "s" => Ok(Mode::Smtp),
        "p" => Ok(Mode::Queue),
        "i" => Ok(Mode::Aliases),
        "v" => Ok(Mode::Verify),
        "d" | "l" | "D" => Err(format!("-b{value}: the server is started with  kings serve")),
        _ => Err(format!("-b{value} is not done")),
    }
}

/// The two signs of VERP; Postfix's `default_verp_delimiters` where none stand there, and its `verp_delimiter_filter`.
fn verp(signs: &str) -> Result<(char, char), String> {
    match signs.chars().collect::<Vec<_>>()[..] {
        [] => Ok(('+', '=')),
        [first, second] if "-=+".contains(first) && "-=+".contains(second) => Ok((first, second)),
        _ => Err(format!("-XV{signs}: two signs of -, = and +")),
    }
}

/// RFC 3461 §4.1: `never`, or any of the other three.
fn notify(value: &str) -> Result<String, String> {
    let words: Vec<String> = value.split(',').map(str::to_ascii_uppercase).collect();
    let known = |word: &String| ["SUCCESS", "FAILURE", "DELAY"].contains(&word.as_str());
    if words == ["NEVER"] || words.iter().all(known) {
        return Ok(words.join(","));
    }
    Err(format!("-N {value}: never, or some of success,failure,delay"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(Mode::Deliver, line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn programs_call_it_in_many_ways() {
        let deliver = Options::default();
        let to = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let cases = [
            ("-t", Options { from_header: true, ..deliver.clone() }),
            ("-t -i", Options { from_header: true, keep_dots: true, ..deliver.clone() }),
            ("-ti", Options { from_header: true, keep_dots: true, ..deliver.clone() }),
            ("-oi -oem -odb root", Options { keep_dots: true, recipients: to(&["root"]), ..deliver.clone() }),
            (
                "-i -FCronDaemon -B8BITMIME -oem root",
                Options {
                    keep_dots: true,
                    full_name: Some("CronDaemon".into()),
                    recipients: to(&["root"]),
                    ..deliver.clone()
                },
            ),
            (
                "-f ann@x -- -odd bob",
                Options { sender: Some("ann@x".into()), recipients: to(&["-odd", "bob"]), ..deliver.clone() },
            ),
            (
                "-fann a b",
                Options { sender: Some("ann".into()), recipients: to(&["a", "b"]), ..deliver.clone() },
            ),
            (
                "-N never -R hdrs -V id a",
                Options {
                    notify: Some("NEVER".into()),
                    ret: Some("HDRS"),
                    envelope_id: Some("id".into()),
                    recipients: to(&["a"]),
                    ..deliver.clone()
                },
            ),
            (
                "-N success,delay a -f",
                Options {
                    notify: Some("SUCCESS,DELAY".into()),
                    recipients: to(&["a", "-f"]),
                    ..deliver.clone()
                },
            ),
            ("-O DeliveryMode=b -o ErrorMode a", Options { recipients: to(&["a"]), ..deliver.clone() }),
            ("-o i -e m -A m a", Options { keep_dots: true, recipients: to(&["a"]), ..deliver.clone() }),
            ("-t -o m", Options { from_header: true, ..deliver.clone() }),
            ("-XV a", Options { verp: Some(('+', '=')), recipients: to(&["a"]), ..deliver.clone() }),
            ("-X V-= a", Options { verp: Some(('-', '=')), recipients: to(&["a"]), ..deliver.clone() }),
            ("-X /log a", Options { recipients: to(&["a"]), ..deliver.clone() }),
            ("-bs", Options { mode: Mode::Smtp, ..deliver.clone() }),
            ("-bp", Options { mode: Mode::Queue, ..deliver.clone() }),
            ("-bi", Options { mode: Mode::Aliases, ..deliver.clone() }),
            ("-q", Options { mode: Mode::Flush, ..deliver.clone() }),
            (
                "-qRfar.example",
                Options { mode: Mode::Flush, site: Some("far.example".into()), ..deliver.clone() },
            ),
            (
                "-qSann@example.org",
                Options { mode: Mode::Flush, of: Some("ann@example.org".into()), ..deliver.clone() },
            ),
            (
                "-bv ann bob",
                Options { mode: Mode::Verify, recipients: to(&["ann", "bob"]), ..deliver.clone() },
            ),
            ("-qIabc -v", Options { mode: Mode::Flush, entry: Some("abc".into()), verbose: true, ..deliver }),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_is_not_done_says_so() {
        let cases = [
            ("-bd", "kings serve"),
            ("-bt", "not done"),
            ("-q30m", "by itself"),
            ("-qR", "by itself"),
            ("-qI", "by itself"),
            ("-qS", "by itself"),
            ("-f", "needs a value"),
            ("-N always", "never, or"),
            ("-o", "needs a value"),
            ("-XV+", "two signs"),
            ("-XV@=", "two signs"),
            ("-R some", "full or hdrs"),
            ("-BBINARY", "8BITMIME"),
            ("-Z", "not known"),
        ];
        for (line, what) in cases {
            let error = parse(line).unwrap_err();
            assert!(error.contains(what), "{line}: {error}");
        }
    }
}
