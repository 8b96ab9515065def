//! A letter that the server writes to itself: handed in, signed, stored, read, and removed again.

use std::time::{Duration, Instant};

use kings_mail::address::Address;
use kings_mail::header::header_end;
use kings_mta::{Local, LocalUser};
use kings_net::Shutdown;
use kings_store::{MailboxName, Store, StoreError};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// How long it may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(10);
/// How many of the newest messages are looked at.
const NEWEST: usize = 50;
/// Room for what is said in one direction.
const ROOM: usize = 64 * 1024;

/// There is no letter to judge.
#[derive(Debug, thiserror::Error)]
pub enum LetterError {
    /// The server does not take it.
    #[error("the server does not take a message from {account} to itself: {reply}")]
    Refused {
        /// Whose message.
        account: Address,
        /// The server's words.
        reply: String,
    },
    /// It was taken, and is not there.
    #[error(
        "the message {id} was accepted and is not in the inbox of {account}: kings trace {id} tells where it is"
    )]
    Lost {
        /// Whose inbox.
        account: Address,
        /// Its id.
        id: String,
    },
    /// The mailbox cannot be read.
    #[error("the inbox of {account}: {cause}")]
    Store {
        /// Whose inbox.
        account: Address,
        /// Why.
        cause: StoreError,
    },
    /// A thread of ours came to grief.
    #[error("the message could not be looked for")]
    Crashed,
}

/// Hands in a message from an account to itself as root does by `sendmail`, and gives what lies in the inbox then: completed,
/// signed and stored by the code that serves all mail. It does not stay there.
pub async fn to_itself(
    local: &Local,
    store: &Store,
    account: &Address,
    shutdown: &Shutdown,
) -> Result<Vec<u8>, LetterError> {
    let id = hand_in(local, account, shutdown)
        .await
        .map_err(|reply| LetterError::Refused { account: account.clone(), reply })?;
    let began = Instant::now();
    while began.elapsed() < ARRIVAL {
        let (store, account, id) = (store.clone(), account.clone(), id.clone());
        let taken = spawn_blocking(move || {
            take(&store, &account, &id).map_err(|cause| LetterError::Store { account, cause })
        });
        if let Some(letter) = taken.await.map_err(|_| LetterError::Crashed)?? {
            return Ok(letter);
        }
        sleep(Duration::from_millis(100)).await;
    }
    Err(LetterError::Lost { account: account.clone(), id })
}

/// The whole dialogue at once; gives the id of the message, or the reply that refused it.
async fn hand_in(local: &Local, account: &Address, shutdown: &Shutdown) -> Result<String, String> {
    let root = LocalUser { uid: 0, name: "root".to_owned() };
    let (ours, theirs) = duplex(ROOM);
    let script = format!(
        "EHLO localhost\r\nMAIL FROM:<{account}>\r\nRCPT TO:<{account}>\r\nDATA\r\n{}.\r\nQUIT\r\n",
        letter(account)
    );
    let talk = async {
        let (reader, mut writer) = tokio::io::split(ours);
        writer.write_all(script.as_bytes()).await?;
        let mut heard = String::new();
        reader.take(ROOM as u64).read_to_string(&mut heard).await?;
        Ok::<_, std::io::Error>(heard)
    };
    let ((), heard) = tokio::join!(local.serve(theirs, &root, shutdown), talk);
    accepted(&heard.map_err(|error| error.to_string())?)
}

/// The id behind the last but one reply, which answers the end of the message.
fn accepted(heard: &str) -> Result<String, String> {
    let last_lines = heard.lines().filter(|line| line.as_bytes().get(3) == Some(&b' '));
    let mut id = Err("no reply".to_owned());
    for line in last_lines {
        match line.strip_prefix("250 2.0.0 ") {
            _ if line.starts_with(['4', '5']) => return Err(line.to_owned()),
            Some(text) => id = Ok(text.trim().to_owned()),
            None => {}
        }
    }
    id
}

/// As people write; Date and Message-ID are the server's to add.
fn letter(account: &Address) -> String {
    format!(
        "From: <{account}>\r\nTo: <{account}>\r\nSubject: A look at my own mail\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\nHello,\r\n\r\nthis message was sent by  kings score  to see how mail of \
         this server looks\r\nto those who receive it. It is removed again at once.\r\n"
    )
}

/// The message of this id, taken out of the inbox; `None` while it is not there.
fn take(store: &Store, account: &Address, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let inbox = store.account(account)?.open(&MailboxName::inbox())?;
    let snapshot = inbox.refresh()?;
    for message in snapshot.messages.iter().rev().take(NEWEST) {
        let Ok(content) = inbox.read(message.uid) else { continue };
        let content = content.as_ref();
        let header = String::from_utf8_lossy(&content[..header_end(content)]);
        if header.contains(&format!("id {id}")) {
            inbox.remove(&[message.uid])?;
            return Ok(Some(content.to_vec()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_and_a_refusal_is_told() {
        let good = "220 x\r\n250-x\r\n250 8BITMIME\r\n250 2.1.0 OK\r\n250 2.1.5 OK\r\n354 go\r\n250 2.0.0 abc1\r\n221 bye\r\n";
        assert_eq!(accepted(good), Ok("abc1".to_owned()));
        let bad = good.replace("250 2.1.5 OK", "550 5.1.1 No such mailbox");
        assert_eq!(accepted(&bad), Err("550 5.1.1 No such mailbox".to_owned()));
        assert_eq!(accepted("220 x\r\n"), Err("no reply".to_owned()));
    }
}
