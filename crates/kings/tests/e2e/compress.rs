//! COMPRESS=DEFLATE with a client of Python's `imaplib` and `zlib`, under TLS.

use crate::harness::{Kings, program, run};

const ANN: &str = "ann@example.org";

/// imaplib has no COMPRESS: from its answer on, what it reads and sends goes through zlib.
const CLIENT: &str = r"
import imaplib, ssl, sys, zlib

class Deflated(imaplib.IMAP4_SSL):
    inflater = None

    def compress(self):
        self._simple_command('COMPRESS', 'DEFLATE')
        self.inflater, self.deflater = zlib.decompressobj(-15), zlib.compressobj(9, zlib.DEFLATED, -15)
        self.heard, self.wire = b'', 0

    def more(self):
        octets = self.sock.recv(4096)
        assert octets, 'the server closed'
        self.wire += len(octets)
        self.heard += self.inflater.decompress(octets)

    def read(self, size):
        if not self.inflater:
            return super().read(size)
        while len(self.heard) < size:
            self.more()
        text, self.heard = self.heard[:size], self.heard[size:]
        return text

    def readline(self):
        if not self.inflater:
            return super().readline()
        while b'\n' not in self.heard:
            self.more()
        line, _, self.heard = self.heard.partition(b'\n')
        return line + b'\n'

    def send(self, data):
        if self.inflater:
            data = self.deflater.compress(data) + self.deflater.flush(zlib.Z_SYNC_FLUSH)
        self.sock.sendall(data)

host, port, authority = sys.argv[1].rsplit(':', 1)[0].strip('[]'), sys.argv[1].rsplit(':', 1)[1], sys.argv[2]
imaplib.Commands['COMPRESS'] = ('AUTH', 'SELECTED')
client = Deflated(host, int(port), ssl_context=ssl.create_default_context(cafile=authority))
client.login('ann@example.org', 'secret')
assert 'COMPRESS=DEFLATE' in client.capability()[1][0].decode()
client.compress()
client.select('INBOX')
long = b'Subject: long\r\n\r\n' + b'All work and no play makes Jack a dull boy.\r\n' * 20000
kind, _ = client.append('INBOX', None, None, long)
assert kind == 'OK'
client.noop()
before = client.wire
kind, found = client.fetch('1:*', '(BODY.PEEK[])')
texts = [part[1] for part in found if isinstance(part, tuple)]
assert len(texts) == 2 and texts[1] == long, [len(text) for text in texts]
print('octets', client.wire - before, len(long))
print(texts[0].decode())
client.logout()
";

#[test]
fn zlib_understands_a_whole_session() {
    let kings = Kings::start();
    kings.deliver(ANN, "read by zlib");
    let mut command = program("python3");
    command.args(["-c", CLIENT]).arg(kings.at("imaps"));
    let said = run(command.arg(&kings.certificates.authority)).succeeded().text();
    assert!(said.contains("Hello, this is read by zlib."), "{said}");
    let octets: Vec<usize> =
        said.lines().next().unwrap().split(' ').filter_map(|word| word.parse().ok()).collect();
    assert!(octets[0] * 20 < octets[1], "{said}");
}
