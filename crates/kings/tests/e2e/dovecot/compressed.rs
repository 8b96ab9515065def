//! Mail that Dovecot compresses: Kings and Dovecot read, measure and copy the same messages.

use super::{ANN, Dovecot, Listing, OWNER};
use crate::harness::{Imap, Kings, Setup, letter};

fn body(imap: &mut Imap, uid: u32) -> String {
    let lines = imap.command(&format!("UID FETCH {uid} (BODY.PEEK[])"));
    let text = lines.iter().map(|line| format!("{}\n", line.text)).collect::<String>();
    text.split_once("BODY[]").unwrap_or_else(|| panic!("{text}")).1.to_owned()
}

/// Dovecot 2.3, "Mail Compression Plugin": each message file is compressed by itself, and told by its first octets.
#[test]
fn what_dovecot_compressed_is_the_same_mail_in_both() {
    let kings: Kings = Setup { account: Some(OWNER), ..Setup::default() }.start();
    kings.deliver(ANN, "plain");
    let mut count = 1;
    for form in ["gz", "bz2", "zstd", "lz4"] {
        let settings = format!("mail_plugins = zlib\nplugin {{\n  zlib_save = {form}\n}}\n");
        let dovecot = Dovecot::start_with(&kings, &settings);
        let mut theirs = dovecot.imap(&kings);
        let text = String::from_utf8(letter(ANN, ANN, form)).unwrap() + &"line after line\r\n".repeat(5_000);
        theirs.command(&format!("APPEND INBOX {{{}+}}\r\n{text}", text.len()));
        count += 1;
        let there = Listing::read(&mut theirs);
        assert_eq!(there.messages.len(), count, "{form}");
        let file = newest_file(&kings);
        assert!(file.len() < text.len() / 4, "{form}: Dovecot compressed nothing");
        let mut ours = kings.imap(ANN);
        assert_eq!(Listing::read(&mut ours), there, "{form}");
        let uid = there.messages.last().unwrap().uid;
        assert_eq!(body(&mut ours, uid), body(&mut theirs, uid), "{form}");
        // A copy that Kings made is a message for Dovecot as well.
        ours.command(&format!("UID COPY {uid} Archive"));
        for imap in [&mut ours, &mut theirs] {
            imap.command("EXAMINE Archive");
        }
        let copy = u32::try_from(count).unwrap() - 1;
        assert_eq!(body(&mut theirs, copy), body(&mut ours, copy), "{form}");
        assert!(body(&mut theirs, copy).contains("line after line"), "{form}");
    }
}

fn newest_file(kings: &Kings) -> Vec<u8> {
    let inbox = kings.maildir(ANN);
    let folders = ["cur", "new"].map(|part| std::fs::read_dir(inbox.join(part)).unwrap());
    let files = folders.into_iter().flatten().map(|entry| entry.unwrap().path());
    let newest = files.max_by_key(|path| std::fs::metadata(path).unwrap().modified().unwrap()).unwrap();
    std::fs::read(newest).unwrap()
}
