//! mutt, under a terminal made by script(1), reads a mailbox.

use crate::harness::{Kings, program, run};

#[test]
fn mutt_reads_every_message_of_a_mailbox() {
    let kings = Kings::start();
    kings.deliver("ann@example.org", "first for mutt");
    kings.deliver("ann@example.org", "second for mutt");
    let here = kings.folder().path().display().to_string();
    let authority = kings.certificates.authority.display();
    let at = kings.at("imaps");
    let settings = kings.folder().write(
        "muttrc",
        format!(
            "set imap_user = 'ann@example.org'\nset imap_pass = 'secret'\nset imap_authenticators = 'plain'\n\
             set folder = 'imaps://{at}/'\nset spoolfile = 'imaps://{at}/INBOX'\n\
             set ssl_ca_certificates_file = '{authority}'\nset ssl_verify_host = yes\n\
             set header_cache = ''\nset tmpdir = '{here}'\nset sort = mailbox-order\nset wait_key = no\n\
             set pipe_decode = yes\nset quit = yes\n\
             push '<tag-pattern>~A<enter><tag-prefix><pipe-message>cat > {here}/read<enter><quit>'\n"
        ),
    );
    let mut command = program("script");
    command.env("TERM", "xterm").env("HOME", &here).args(["--quiet", "--return", "--command"]);
    command.arg(format!("mutt -n -F {}", settings.display())).arg(kings.folder().join("terminal"));
    run(&mut command).succeeded();
    let read = std::fs::read_to_string(kings.folder().join("read")).unwrap();
    for subject in ["first for mutt", "second for mutt"] {
        assert!(read.contains(&format!("Subject: {subject}\n")), "{read}");
        assert!(read.contains(&format!("Hello, this is {subject}.\n")), "{read}");
    }
}
