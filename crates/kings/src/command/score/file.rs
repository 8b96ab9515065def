//! The points of a message in a file: its content by the rules, the rest by the checks of port 25.

use std::io::Read;
use std::path::PathBuf;

use kings_mta::scoring::points_of;
use kings_net::{Resolver, is_public};
use kings_ops::score::{LISTS, listings};
use kings_score::content::{self, FULL};
use kings_score::points::{self, ENOUGH, Point, Score, Topic};

use super::super::Failure;
use super::super::check_message::{self, Judge, open, unreadable};
use super::{Options, Page, list, now};
use crate::config::Threads;
use crate::serve;

/// As for `kings check-message`.
const THREADS: Threads = Threads { workers: Some(1), blocking: 4 };

pub(super) fn judge(file: PathBuf, options: Options) -> Result<Page, Failure> {
    let Options { ip, helo, mail_from, from_trace, offline, dns, list: lists, config, json, .. } = options;
    let mut asked = check_message::Options {
        file,
        ip,
        helo,
        mail_from,
        recipient: Vec::new(),
        from_trace,
        dns,
        config,
        json,
    };
    let judge = Judge::new(&asked)?;
    let mut message = Vec::new();
    let most = judge.message_bytes;
    let read = open(&asked.file)?.take(most + 1).read_to_end(&mut message);
    read.map_err(|error| unreadable(&asked.file, &error))?;
    if message.len() as u64 > most {
        let text =
            format!("{} is larger than {most} octets, the most this server takes", asked.file.display());
        return Err(Failure::check_failed(text));
    }
    let content = content::judge(&message, now());
    if offline {
        let why = "DNS is not asked (--offline)";
        let mut points: Vec<Point> = [Topic::Dkim, Topic::Spf, Topic::Dmarc, Topic::Reverse, Topic::Tls]
            .map(|topic| topic.unknown(why, vec![]))
            .into();
        points.push(points::content(&content));
        points.push(Topic::Blocklist.unknown(why, vec![]));
        let score = Score { points, enough: FULL };
        return Ok(Page { title: "A message, by its content alone".to_owned(), score, content });
    }
    // What the file looks like to a receiver: the same lists for every receiver.
    let lists =
        if lists.is_empty() { LISTS.iter().filter_map(|zone| list(zone).ok()).collect() } else { lists };
    asked.recipient.clear();
    let resolver = Resolver::new(&judge.dns);
    let resolver =
        resolver.map_err(|error| Failure::cannot_tell(format!("{error}, or with --dns SERVER")))?;
    let found = serve::runtime(THREADS)?.block_on(async {
        let found = judge.examine(message.as_slice(), asked).await?;
        let client = found.circumstances.client.filter(|client| is_public(*client));
        let listed = match client {
            Some(client) => Some((client, listings(&resolver, &lists, client).await)),
            None => None,
        };
        Ok::<_, Failure>((found, listed))
    });
    let (found, listed) = found?;
    let blocklist = match listed {
        Some((client, listed)) => points::blocklist(client, &listed),
        None if found.circumstances.client.is_some() => {
            Topic::Blocklist.unknown("an address that is not public is on no list", vec![])
        }
        None => Topic::Blocklist.unknown(NO_ADDRESS, vec![]),
    };
    let score = Score { points: points_of(&found, &content, blocklist), enough: ENOUGH };
    Ok(Page { title: "A message, as a receiver sees it".to_owned(), score, content })
}

/// Why what depends on the client is not known.
const NO_ADDRESS: &str = "the address that sent it is not told (--ip)";
