//! `sendmail`, `mailq` and `newaliases`: what local programs call to send mail, by name or as `kings sendmail`.

mod exit;
mod gate;
mod left;
mod letter;
mod mailq;
mod options;
mod session;
mod submit;

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufWriter, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

use kings_mail::address::Address;
use kings_mail::encoded_word;
use kings_mail::path::ReversePath;
use nix::unistd::{Uid, User};

use self::exit::{Exit, Trouble};
use self::gate::Gate;
use self::letter::{Letter, addresses};
use self::options::{Mode, Options};
use self::submit::{MOST_AT_ONCE, Mail};
use crate::command::Reach;
use crate::config::{DEFAULT_PATH, HandIn, Settings};
use crate::{local, prepare};

/// Most octets that are read from standard input: more than any server takes.
const MAX_INPUT: u64 = 256 << 20;

/// What a name of this program stands for.
fn mode_of(name: &str) -> Option<Mode> {
    match name {
        "sendmail" => Some(Mode::Deliver),
        "mailq" => Some(Mode::Queue),
        "newaliases" => Some(Mode::Aliases),
        _ => None,
    }
}

/// Runs as one of these programs, if that is how the process was called: by its own name, or as `kings NAME`.
pub(crate) fn called() -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    let own = arguments.next()?;
    let own = Path::new(&own).file_name()?.to_str()?.to_owned();
    if let Some(mode) = mode_of(&own) {
        return Some(main(&own, mode, arguments));
    }
    let noun = arguments.next()?;
    let noun = noun.to_str()?;
    mode_of(noun).map(|mode| main(noun, mode, arguments))
}

/// `name` is what the program was called by, and what it calls itself.
fn main(name: &str, mode: Mode, arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let run = Options::parse(mode, arguments).map_err(|text| Trouble::new(Exit::Usage, text));
    match run.and_then(|options| act(name, &options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => trouble.report(name),
    }
}

fn act(name: &str, options: &Options) -> Result<(), Trouble> {
    // Another config, or none, would be about another queue.
    if let Some(Err(error)) = options.config.as_ref().map(fs::metadata)
        && error.kind() == io::ErrorKind::NotFound
    {
        let path = options.config.as_deref().unwrap_or(Path::new(DEFAULT_PATH)).display();
        return Err(Trouble::new(Exit::Config, format!("cannot read the config {path}: {error}")));
    }
    let config = options.config.as_deref().unwrap_or(Path::new(DEFAULT_PATH));
    match options.mode {
        Mode::Deliver => deliver(options, &HandIn::read(config)),
        Mode::Smtp => speak(&HandIn::read(config)),
        Mode::Queue => {
            let reach = reach(config)?;
            let left = left::items(&HandIn::read(config).folder);
            mailq::list(&reach, &left, &mut BufWriter::new(io::stdout().lock()))
        }
        Mode::Flush => mailq::flush(&reach(config)?, options),
        Mode::Verify => verify(options, &HandIn::read(config)),
        // A running server reads changed files by itself; what is wrong with them is told here.
        Mode::Aliases => match prepare::open_directory(&settings(config)?) {
            Ok(directory) => {
                // As postalias(1) does: what cannot be used is told, and the rest acts.
                for warning in directory.warnings() {
                    let _ = writeln!(io::stderr(), "{name}: warning: {warning}");
                }
                Ok(())
            }
            Err(error) => Err(Trouble::new(Exit::Config, error.to_string())),
        },
    }
}

/// The queue as this user reaches it.
fn reach(config: &Path) -> Result<Reach, Trouble> {
    if Uid::effective().is_root() {
        return Ok(Reach::new(settings(config)?)?);
    }
    if let Some(reach) = Reach::neighbour(&HandIn::read(config).folder) {
        return Ok(reach);
    }
    let own = settings(config).and_then(|settings| Ok(Reach::new(settings)?));
    own.map_err(|_| {
        Trouble::new(
            Exit::Unavailable,
            "the mail system is down, or has no [local] section: only root and the user that runs the server may ask about \
             the queue then",
        )
    })
}

fn settings(config: &Path) -> Result<Settings, Trouble> {
    Settings::load(config).map_err(|error| Trouble::new(Exit::Config, error.to_string()))
}

fn print(text: &str) {
    // A closed pipe is how a reader says that it has seen enough.
    let _ = io::stdout().write_all(text.as_bytes());
}

fn deliver(options: &Options, place: &HandIn) -> Result<(), Trouble> {
    let usage = |text: String| Trouble::new(Exit::Usage, text);
    let user = user()?;
    let mut recipients = named(options)?;
    if recipients.is_empty() && !options.from_header {
        return Err(usage("recipients must stand on the command line, or in the header with -t".to_owned()));
    }
    let sender = sender(options, &user).map_err(usage)?;
    let mut letter = Letter::read(&input()?, !options.keep_dots);
    if options.from_header {
        recipients.extend(letter.recipients().map_err(|text| Trouble::new(Exit::BadData, text))?);
    }
    if recipients.is_empty() {
        return Err(usage("the header names no recipient".to_owned()));
    }
    if options.verp.is_some() && sender == ReversePath::Null {
        return Err(usage("-XV needs a sender: nobody hears of what comes back to <>".to_owned()));
    }
    let mut seen = std::collections::HashSet::new();
    recipients.retain(|address| seen.insert(address.folded()));
    if !letter.has("From") {
        let field = from_field(options, &user, &sender);
        letter.header.splice(0..0, field.into_bytes());
    }
    let mut result = Ok(());
    let at_once = if options.verp.is_some() { 1 } else { MOST_AT_ONCE };
    for recipients in recipients.chunks(at_once) {
        let sender = match (options.verp, &sender, recipients) {
            (Some(signs), ReversePath::Address(sender), [recipient]) => {
                ReversePath::Address(named_for(sender, recipient, signs).map_err(usage)?)
            }
            _ => sender.clone(),
        };
        let mail = Mail { options, sender, recipients, letter: &letter };
        // Those behind a part that fails get it all the same.
        result = result.and(mail.hand_in(place, &user));
    }
    result
}

/// The recipients of the command line.
fn named(options: &Options) -> Result<Vec<Address>, Trouble> {
    let mut recipients = Vec::new();
    for argument in &options.recipients {
        let found = addresses(argument.as_bytes());
        recipients.extend(found.map_err(|text| Trouble::new(Exit::Usage, text))?);
    }
    Ok(recipients)
}

/// `-bv`: a line for each recipient, as Sendmail has it.
fn verify(options: &Options, place: &HandIn) -> Result<(), Trouble> {
    let usage = |text: String| Trouble::new(Exit::Usage, text);
    let recipients = named(options)?;
    if recipients.is_empty() {
        return Err(usage("-bv: which addresses?".to_owned()));
    }
    let sender = sender(options, &user()?).map_err(usage)?;
    let letter = Letter { header: Vec::new(), body: Vec::new() };
    Mail { options, sender, recipients: &recipients, letter: &letter }.verify(place, print)
}

/// Who calls, as the kernel and the user database know it: variables of the environment prove nothing.
fn user() -> Result<User, Trouble> {
    let uid = Uid::current();
    match User::from_uid(uid) {
        Ok(Some(user)) => Ok(user),
        Ok(None) => Err(Trouble::new(Exit::Unavailable, format!("user {uid} has no name"))),
        Err(error) => Err(Trouble::new(Exit::TryLater, format!("cannot look up user {uid}: {error}"))),
    }
}

fn input() -> Result<Vec<u8>, Trouble> {
    let mut input = Vec::new();
    let read = io::stdin().lock().take(MAX_INPUT + 1).read_to_end(&mut input);
    read.map_err(|error| Trouble::new(Exit::TryLater, format!("cannot read the message: {error}")))?;
    if input.len() as u64 > MAX_INPUT {
        return Err(Trouble::new(Exit::Unavailable, "the message is larger than anything that is mailed"));
    }
    Ok(input)
}

/// `-f`, or the user. The server completes the domain, and decides whether this user may.
fn sender(options: &Options, user: &User) -> Result<ReversePath, String> {
    let Some(given) = &options.sender else {
        let own = addresses(user.name.as_bytes())?.into_iter().next();
        return own.map(ReversePath::Address).ok_or_else(|| format!("{} is no name for mail", user.name));
    };
    if given.is_empty() || given == "<>" {
        return Ok(ReversePath::Null);
    }
    match <[Address; 1]>::try_from(addresses(given.as_bytes())?) {
        Ok([address]) => Ok(ReversePath::Address(address)),
        Err(_) => Err(format!("-f {given}: not one address")),
    }
}

/// The sender with the name of a recipient in it, by which a bounce tells whom it is about (Postfix's VERP_README).
fn named_for(
    sender: &Address,
    recipient: &Address,
    (first, second): (char, char),
) -> Result<Address, String> {
    let (name, host) = (&recipient.local_part, &recipient.host);
    let text = format!("{}{first}{name}{second}{host}@{}", sender.local_part, sender.host);
    Address::parse(&text).map_err(|_| format!("-XV: {text} is no address"))
}

/// A From field for a message without one; a bare name is completed by the server.
fn from_field(options: &Options, user: &User, sender: &ReversePath) -> String {
    let address = match sender {
        ReversePath::Address(address)
            if address.domain().is_some_and(|domain| domain.as_str() != "localhost") =>
        {
            address.to_string()
        }
        ReversePath::Address(address) => address.local_part.to_string(),
        ReversePath::Null => user.name.clone(),
    };
    let name = options.full_name.clone().unwrap_or_else(|| gecos_name(user));
    let name: String = name.chars().filter(|c| !c.is_control()).collect();
    if name.trim().is_empty() {
        return format!("From: {address}\r\n");
    }
    if !name.is_ascii() {
        // As Postfix's `full_name_encoding_charset`: a header is ASCII for whoever does not say otherwise (RFC 5322 §2.2).
        return format!("From: {}\r\n <{address}>\r\n", encoded_word::encode_phrase(name.trim()));
    }
    format!("From: \"{}\" <{address}>\r\n", name.trim().replace('\\', "\\\\").replace('"', "\\\""))
}

/// The first part of the comment in the user database, where `&` stands for the login name.
fn gecos_name(user: &User) -> String {
    let gecos = user.gecos.to_string_lossy();
    gecos.split(',').next().unwrap_or_default().replace('&', &user.name)
}

/// `-bs`: the socket's dialogue on standard input and output; line ends are mended on the way. While nobody listens at the
/// socket this process answers, and messages are dropped.
fn speak(place: &HandIn) -> Result<(), Trouble> {
    let broke = |error: io::Error| Trouble::new(Exit::TryLater, format!("the dialogue broke: {error}"));
    let Ok(mut stream) = UnixStream::connect(local::socket(&place.folder)) else {
        let gate = Gate { terms: place.terms.as_ref(), user: &user()? };
        return match session::answer(&mut io::stdin().lock(), &mut io::stdout().lock(), &place.folder, gate) {
            // The end of the session ends the dialogue.
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(broke(error)),
            Ok(()) | Err(_) => Ok(()),
        };
    };
    let mut writer = stream.try_clone().map_err(broke)?;
    // It ends with the process: nobody can wait for a read of standard input to end.
    std::thread::spawn(move || {
        let _ = copy_lines(&mut io::stdin().lock(), &mut writer);
        let _ = writer.shutdown(Shutdown::Write);
    });
    let copied = io::copy(&mut stream, &mut io::stdout());
    copied.map(drop).map_err(broke)
}

/// Every line with CRLF, as it comes.
fn copy_lines(reader: &mut impl Read, writer: &mut impl Write) -> io::Result<()> {
    let mut buffer = [0; 8 * 1024];
    let mut last = 0;
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let mut out = Vec::with_capacity(count + 16);
        for octet in &buffer[..count] {
            if *octet == b'\n' && last != b'\r' {
                out.push(b'\r');
            }
            out.push(*octet);
            last = *octet;
        }
        writer.write_all(&out)?;
    }
}
