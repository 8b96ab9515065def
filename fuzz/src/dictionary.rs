//! Tokens of each language that the targets speak: they lead random changes to where the grammar branches.
//!
//! One token a line would say no more, so rustfmt leaves these lists alone.

/// RFC 5321 and its extensions.
#[rustfmt::skip]
pub const SMTP: &[&str] = &[
    "EHLO ", "HELO ", "MAIL FROM:", "RCPT TO:", "DATA\r\n", "RSET\r\n", "NOOP\r\n", "VRFY ", "HELP",
    "QUIT\r\n", "STARTTLS\r\n", "AUTH PLAIN ", "AUTH LOGIN", "AGFubgBzZWNyZXQ=", "*\r\n", "LHLO ",
    "BDAT 5 LAST\r\n", "<>", "<ann@example.org>", "<bob@example.net>", "<postmaster>", "@a,@b:",
    "\"a b\"@x", "[192.0.2.1]", "[IPv6:::1]", " SIZE=1000", " SIZE=18446744073709551616", " BODY=8BITMIME",
    " SMTPUTF8", " RET=HDRS", " ENVID=a+20b", " NOTIFY=NEVER", " ORCPT=rfc822;a", " AUTH=<>", "\r\n", "\n",
    "\r", "\0", "\r\n.\r\n", "\n.\n", "\r\n.\n", "\r\n..\r\n", ".", "\u{e4}", "\u{ff20}", " ", "\t", "xn--",
    "GET / HTTP/1.1\r\n", "PROXY TCP4 ", "BDAT ", " LAST\r\n", "BDAT 0\r\n", " REQUIRETLS", " HOLDFOR=1", " HOLDUNTIL=",
    "2026-11-23T10:00:00Z", "XCLIENT ", "XFORWARD ", "ADDR=", "192.0.2.1", "IPV6:", "HELO=", "LOGIN=", "[UNAVAILABLE]", "+0D",
];

/// Postfix's access(5) and its policy delegation.
#[rustfmt::skip]
pub const POLICY: &[&str] = &[
    "action=", "DUNNO", "OK", "REJECT ", "DEFER ", "DEFER_IF_PERMIT ", "DEFER_IF_REJECT", "PREPEND ", "X-A: b",
    "DISCARD", "HOLD", "FILTER ", "REDIRECT ", "ann@example.org", "WARN ", "INFO ", "421 ", "450 ", "550 ",
    "999 ", "4.7.1 ", "5.1.1 ", "\n\n", "\n", "\r\n", "\0", "\u{85}", "\u{e4}", " ", ":",
];

/// What servers answer.
#[rustfmt::skip]
pub const SMTP_REPLIES: &[&str] = &[
    "220 ", "250 ", "250-", "354 ", "235 ", "334 ", "334 VXNlcm5hbWU6", "421 ", "450 ", "452 ", "550 ", "552 ", "554-",
    "999 ", "2.0.0 ", "5.1.1 ", "4.7.0", "SIZE 1000", "SIZE", "STARTTLS", "8BITMIME", "SMTPUTF8", "AUTH PLAIN LOGIN",
    "AUTH=LOGIN", "PIPELINING", "CHUNKING", "DSN", "\r\n", "\n", "\r", "\0", "\u{e4}", "\u{1b}[31m", " ", "-",
];

/// RFC 1939 and its extensions, and formats of unique-ids.
#[rustfmt::skip]
pub const POP3: &[&str] = &[
    "CAPA\r\n", "STLS\r\n", "UTF8\r\n", "USER ann\r\n", "PASS secret\r\n", "AUTH PLAIN ", "AUTH LOGIN\r\n", "AUTH\r\n",
    "AGFubgBzZWNyZXQ=\r\n", "*\r\n", "=", "STAT\r\n", "LIST", "UIDL", "RETR 1\r\n", "TOP 1 0\r\n", "TOP 3 2\r\n", "DELE 2\r\n",
    "RSET\r\n", "NOOP\r\n", "QUIT\r\n", " 1", " 4294967296", " 0", " -1", " ", "%08Xu%08Xv", "%g", "%%", "\r\n", "\n",
    "\r", "\0", "\u{e4}",
];

/// RFC 3501, RFC 9051 and the extensions that are spoken.
#[rustfmt::skip]
pub const IMAP: &[&str] = &[
    "a1 ",
    "UID ",
    "CAPABILITY\r\n",
    "NOOP\r\n",
    "LOGOUT\r\n",
    "STARTTLS\r\n",
    "ID NIL\r\n",
    "LOGIN ann secret",
    "AUTHENTICATE PLAIN ",
    "AGFubgBzZWNyZXQ=",
    "SELECT INBOX",
    "EXAMINE ",
    "CREATE ",
    "DELETE ",
    "RENAME ",
    "SUBSCRIBE ",
    "LIST \"\" *",
    "LSUB \"\" %",
    "STATUS INBOX (MESSAGES UIDNEXT)",
    "APPEND INBOX ",
    "FETCH 1:* ",
    "STORE 1 +FLAGS ",
    "COPY 1 ",
    "MOVE ",
    "EXPUNGE",
    "CHECK",
    "CLOSE",
    "UNSELECT",
    "IDLE\r\n",
    "DONE\r\n",
    "NAMESPACE",
    "SEARCH ",
    "SORT (REVERSE SUBJECT DATE) UTF-8 ",
    "THREAD REFERENCES UTF-8 ",
    "RETURN (MIN COUNT) ",
    "SEARCH CHARSET UTF-8 ",
    "RETURN (SPECIAL-USE)",
    "OR ",
    "NOT ",
    "HEADER Subject ",
    "SINCE 1-Nov-2026",
    "\" 1-Nov-2026 10:00:00 +0000\"",
    "KEYWORD $Junk",
    "(\\Seen \\Flagged)",
    "ENVELOPE",
    "BODYSTRUCTURE",
    "BODY[",
    "BODY.PEEK[1.2.HEADER.FIELDS (To From)]",
    "[HEADER.FIELDS.NOT (",
    "[1.MIME]",
    "<0.4294967295>",
    "RFC822.SIZE",
    "INTERNALDATE",
    "1:*",
    "4294967295",
    "4294967296",
    "0",
    "*",
    "$",
    "(",
    ")",
    "((((((((",
    "))))))))",
    "[",
    "]",
    "{5}\r\n",
    "{5+}\r\n",
    "{4294967295}\r\n",
    "{0}\r\n",
    "{-1}",
    "~{3}\r\n",
    "\"",
    "\\",
    "\\\"",
    "NIL",
    "&AOQ-",
    "%",
    "\r\n",
    "\n",
    "\r",
    "\0",
    "\u{e4}",
    " ",
];

/// Header fields, MIME and everything that stands in them.
#[rustfmt::skip]
pub const MESSAGE: &[&str] = &[
    "From: ", "To: ", "Subject: ", "Received: ", "Content-Type: ", "multipart/mixed; boundary=",
    "multipart/digest", "Content-Type: multipart/mixed; boundary=a\r\n", "message/rfc822",
    "Content-Type: message/rfc822\r\n\r\n", "text/plain; charset=", "utf-8", "iso-2022-jp", "utf-16",
    "utf-7", "Content-Transfer-Encoding: base64\r\n", "quoted-printable",
    "Content-Disposition: attachment; filename=", "filename*0*=utf-8''", "filename*1=", "*=", "=?utf-8?q?",
    "=?utf-8?b?", "?=", "=C3=A4", "%C3%A4", "a=\r\n", "Group: ", ";", ",", ":", "<", ">", "@", "\"", "\\",
    "(", ")", "<@a,@b:ann@example.org>", "ann@example.org", "[192.0.2.1]", "\r\n", "\n", "\r", "\0",
    "\r\n\r\n", "\r\n--a\r\n", "\r\n--a--\r\n", "--a", "--", "\r\n ", "\t",
    "From ann Fri Nov  6 10:00:00 2026\r\n", "\u{e4}", "&AOQ-", "&-", "&", "-", "\u{1b}$B",
];

/// Lookup tables of Postfix and Sendmail.
#[rustfmt::skip]
pub const TABLES: &[&str] = &[
    "/^", "$/ ", "/i ", "/x ", "!/", "if /", "endif\n", "(.*)", "(a|b)", "$1", "${1}", "$(1)", "$$", "[^@]*", "{1,9}", "\\/",
    "(?i)", "(?=a)", "\\1", "@example.org", "root: ", "\"|cat\"", "|cat", "/var/mail/a", ":include:/etc/a", "\\ann", ", ",
    "\"a b\": ", "#", "\n ", "\n", "\0", "OK ", "NOTFOUND ", "TEMP ", "3:OK ,", "100000:", "REJECT ", "PREPEND ",
    "a.example ", ".a.example ", "* ", "smtp:", "relay:", "lmtp:", "unix:/", "inet:", "[a.example]", ":25", ":submission", "discard:", "error:",
    "retry:", "4.2.1 ", "5.1.1 ", "DUNNO", "[IPv6:::1]",
];

/// The milter protocol.
#[rustfmt::skip]
pub const MILTER: &[&str] = &[
    "\0\0\0\x01", "\0\0\0\x0dO\0\0\0\x06", "\0\0\0\x05", "C", "D", "H", "M", "R", "T", "U", "L", "N", "B", "E", "A", "Q", "K",
    "c", "a", "r", "t", "d", "y", "s", "p", "h", "i", "m", "b", "+", "-", "2", "e", "q", "4", "f", "{auth_authen}\0", "550 5.7.1 ", "\0",
];

/// RFC 7208.
#[rustfmt::skip]
pub const SPF: &[&str] = &[
    "v=spf1 ", "-all", "~all", "?all", "+", "include:", "redirect=", "exp=", "a:", "mx:", "ptr", "exists:", "ip4:192.0.2.1",
    "ip6:2001:db8::1", "/24", "//64", "/0", "%{s}", "%{l1r-}", "%{p}", "%{ir}.%{v}", "%{c}", "%{D99r.-}", "%%", "%_", "%-",
    "%{", "}", "d.example", "..", " ", "\n", "192.0.2.1", "::1", "@", "\u{e4}", "\0",
];

/// RFC 9989.
#[rustfmt::skip]
pub const DMARC: &[&str] = &[
    "v=DMARC1;", "p=none;", "p=reject;", "sp=quarantine;", "np=", "psd=y;", "psd=n;", "t=y;", "adkim=s;", "aspf=r;", "rua=", "ruf=",
    "mailto:a@example.org", ",", "!10m", "%2C", "%", "?subject=x", "fo=1:d:s;", ";", "=", ":", " ", "\t", "\0", "\u{e4}",
];

/// RFC 8601.
#[rustfmt::skip]
pub const AUTH_RESULTS: &[&str] = &[
    "Authentication-Results: ", "mail.example.org", "MAIL.EXAMPLE.ORG.", "; none", "; spf=pass", " 1;", "\r\n\t", "\r\n", "(", ")", "\\",
    "\"", "\"mail.example.org\"", ".", "/1", "=?utf-8?q?", "?=", "ARC-Authentication-Results: i=1; ", "Subject: x\r\n", "\0", "\u{fc}", "\u{3002}",
];

/// RFC 9990 and RFC 8460.
#[rustfmt::skip]
pub const REPORTS: &[&str] = &[
    "<feedback>", "</feedback>", "<report_metadata>", "</report_metadata>", "<org_name>x</org_name>", "<report_id>1</report_id>",
    "<policy_published>", "</policy_published>", "<domain>d</domain>", "<record>", "</record>", "<row>", "</row>", "<source_ip>::1</source_ip>",
    "<count>9</count>", "<auth_results>", "<dkim>", "</dkim>", "<spf/>", "&amp;", "&#0;", "&#x41;", "&x;", "<![CDATA[", "]]>", "<!--", "-->",
    "<!DOCTYPE x>", "<?xml version=\"1.0\"?>", "{\"organization-name\":\"x\",", "\"policies\":[]", "PK\x03\x04", "!", ".xml.gz", "\0",
];

/// XML of Route 53.
pub const ROUTE53: &[&str] = &[
    "<ResourceRecordSet>",
    "</ResourceRecordSet>",
    "<Value>",
    "</Value>",
    "<TTL>",
    "</TTL>",
    "<Name>",
    "</Name>",
    "<Type>",
    "</Type>",
    "<AliasTarget>",
    "<SetIdentifier>",
    "&quot;",
    "&#65;",
    "&#x110000;",
    "\\344",
    "\\400",
    "example.org.",
    "TXT",
    "A",
    "MX",
];

/// The file of the AWS CLI.
pub const AWS: &[&str] = &[
    "[default]",
    "[profile default]",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "=",
    "\n",
    "#",
    " ",
];

/// Data of records.
pub const DNS_RECORD: &[&str] =
    &["\"", "\\", "\\032", "\\256", ".", " ", "0 ", "65535", "65536", "issue", ";", "::", "example.org."];

/// RFC 8461.
#[rustfmt::skip]
pub const MTA_STS: &[&str] = &[
    "version: STSv1\n",
    "mode: ",
    "enforce",
    "testing",
    "none",
    "max_age: ",
    "31557600",
    "99999999999",
    "mx: ",
    "*.",
    "*.*.",
    "v=STSv1;",
    " id=",
    ";",
    "=",
    ":",
    "\r\n",
    "\n",
    "\0",
    "xn--",
    "\u{e4}",
    " ",
];

/// RFC 6376 and its heirs.
#[rustfmt::skip]
pub const DKIM: &[&str] = &[
    "DKIM-Signature: ", "v=1; ", "a=rsa-sha256; ", "a=ed25519-sha256; ", "a=rsa-sha1; ", "b=", "bh=", "c=relaxed/simple; ", "simple",
    "relaxed", "d=example.org; ", "h=from:to:subject; ", "from", ":", "i=@example.org; ", "l=", "18446744073709551616", "q=dns/txt; ",
    "s=s; ", "t=1790000000; ", "x=1790000000; ", "z=", "v=DKIM1; ", "k=ed25519; ", "k=rsa; ", "p=", "t=y:s; ", "h=sha256; ", "s=email; ",
    "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", ";", "=", "\r\n ", "\r\n", "\n", "\r", "\t", " ", "\0", "\u{e4}", "From: a\r\n", "\r\n\r\n",
];

/// OpenDKIM's config and tables.
#[rustfmt::skip]
pub const OPENDKIM: &[&str] = &[
    "Mode ", "sv", "Domain ", "KeyTable ", "SigningTable ", "refile:", "file:", "csl:", "ldap://", "Include ", "On-Default ", "yes", "no",
    "SignHeaders *,", "+X-A", "-From", "MacroList ", "daemon_name|", "#", "!", "*@", "*", "%:", ":s:/", ":s:./", ".example.org",
    "example.org", "10.0.0.0/8", "[::1]", "::/0", "\r\n", "\n", "\t", " ", "\u{a0}",
];

/// Tokens and keys in JSON.
#[rustfmt::skip]
pub const OAUTH: &[&str] = &[
    ".", "..", "eyJhbGciOiJFZERTQSJ9", "eyJhbGciOiJub25lIn0", "eyJhbGciOiJIUzI1NiJ9", "e30", "\"keys\":[", "\"kty\":", "\"RSA\"", "\"EC\"", "\"OKP\"",
    "\"oct\"", "\"n\":", "\"e\":\"AQAB\"", "\"crv\":", "\"P-256\"", "\"x\":", "\"kid\":", "\"iss\":\"https://id.example.org\"", "\"aud\":\"kings\"",
    "\"exp\":1e300", "\"exp\":1800000000", "\"nbf\":-1", "\"email\":\"ann@example.org\"", "\"email_verified\":false", "[", "]", "{", "}", ",", "null",
];

/// RFC 8617.
#[rustfmt::skip]
pub const ARC: &[&str] = &[
    "ARC-Seal: ", "ARC-Message-Signature: ", "ARC-Authentication-Results: ", "i=1; ", "i=2; ", "i=50; ", "i=51; ", "cv=none; ", "cv=pass; ",
    "cv=fail; ", "a=ed25519-sha256; ", "d=example.org; ", "s=s; ", "h=from; ", "bh=", "b=", "c=relaxed/relaxed; ", "l=0; ", "t=1; ", "\r\n",
    "\r\n ", "\n", ";", "=", "From: a\r\n", "\r\n\r\n", "\0", " ",
];

/// The PROXY protocol.
#[rustfmt::skip]
pub const PROXY: &[&str] = &[
    "PROXY ", "TCP4 ", "TCP6 ", "UNKNOWN", "192.0.2.1 ", "2001:db8::1 ", "::ffff:192.0.2.1 ", "25", "65535", "65536", "+1", " ", "\r\n", "\n", "\r", "\0",
    "\r\n\r\n\0\r\nQUIT\n", "\x20\0\0\0", "\x21\0\0\0", "\x21\x11\0\x0c", "\x21\x12\0\x0c", "\x21\x21\0\x24", "\x21\x31", "\x10\0", "\x7f\x7f",
];

/// RFC 9112.
#[rustfmt::skip]
pub const HTTP: &[&str] = &[
    "HTTP/1.1 ", "HTTP/1.0 ", "HTTP/2 ", "200 OK", "100 ", "101 ", "204 ", "304 ", "301 ", "307 ", "\r\n", "\n", "\r", "\r\n\r\n", "Content-Length: ",
    "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: gzip, chunked\r\n", "Content-Type: ", "Cache-Control: max-age=", "Location: ", "https://",
    "http://", "user@", "[::1]", ":0", ":65536", "/../", "?x", "#y", "0\r\n\r\n", "ffffffffffffffff\r\n", "5;x\r\n", "Connection: close\r\n",
    "18446744073709551616", "-1", " ", ": ", "\0", "\t",
];

/// What mail programs ask for at port 443.
#[rustfmt::skip]
pub const HTTP_REQUEST: &[&str] = &[
    "emailaddress=", "email=", "address=", "Protocol=AutodiscoverV1", "&", "%40", "%", "%2B", "%c3%a9", "<EMailAddress>", "</EMailAddress>",
    "<x:EMailAddress xmlns:x='y'>", "&amp;", "&#64;", "&#x0;", "&lt;", "<![CDATA[", "]]>", "<!--", "-->", "<!DOCTYPE x [<!ENTITY a 'b'>]>", "&a;",
    "<?xml version=\"1.0\"?>", "ann@example.org", ":443", ".", "..", "[::1]", "xn--", "\"", "\0", "\u{feff}",
];

/// The files of the queue.
#[rustfmt::skip]
pub const QUEUE: &[&str] = &[
    "kings-queue 2\n", "kings-queue ", "id ", "arrived ", "reverse-path <>\n", "body 7bit\n", "smtputf8 yes\n", "ret full\n", "envelope-id ", "require-tls yes\n",
    "hold-until ", "18446744073709551615", "recipient <a@b.example>\n", " notify=", "NEVER", "DELAY", " orcpt=rfc822;a", "+3D", " resolved=yes", " added=yes",
    "content-length ", "content-checksum ", "envelope-checksum ", "00000000 ", "at=1 ", "recipient=1 ", "recipient=0 ", "outcome=", "delivered", "deferred", "failed",
    "reported", "warned", "held", "released", "relayed", " next=", " status=", "4.0.0", "5.999.999", " remote=\"", " reply=\"", "\\\"", "\\", "\"", "\n\n", "\n", ">", "\0",
];

/// Dovecot's side files.
#[rustfmt::skip]
pub const SIDE_FILES: &[&str] = &[
    "3 ", "1 ", " V", " N", " G", "0123456789abcdef0123456789abcdef", "4294967294", "4294967295", "4294967296", "0", " :", ":", ":2,S", "\n", "\r", "\0", "/",
    "..", ".", " W", " S", "\t", "V\t2\n\n", "Sent", "INBOX", "&APw-", "&", "-", "~", "%", "*", "25 ", "26 ", "$Forwarded", " ",
];

/// `dovecot-acl`.
#[rustfmt::skip]
pub const ACL_FILES: &[&str] = &[
    "user=", "joe@example.org", "stranger@example.net", "ann@example.org", "owner", "anyone", "anonymous", "authenticated", "group=", "group-override=", "-", " ",
    "\t", "\"", "\\", "'", "#", ":", ",", "lr", "lrwstipekxa", "cd", "z", "lookup", "write-seen", "x-later", "\n", "\r\n", "\u{e4}",
];

/// What the mechanisms of SASL say.
#[rustfmt::skip]
pub const SASL: &[&str] = &[
    "\0", "\x01", "\n", "n,,", "y,,", "p=tls-exporter,,", "a=", "n=ann,", "r=", "client", "clientserver", "c=biws,", "c=eSws,", "p=", "=2C", "=3D", "=", ",", "m=x,",
    "s=c2FsdA==,", "i=4096", "i=4095", "i=1000001", "i=99999999999", "v=", "AAAA", "e=other-error", "user=", "auth=Bearer ", "auth=bearer ", "host=x\x01", "dG9rZW4=",
    "\x03", "\x04", "\x05", "\x06", "\x07", "\x08", "\x09", "ann", "\u{ad}", "\u{aa}", "\u{2168}", "\u{a0}", "\u{7f}", "\u{e4}", " ",
];

/// Dovecot's authentication protocol.
#[rustfmt::skip]
pub const AUTH: &[&str] = &[
    "VERSION\t1\t2\n", "CPID\t1\n", "AUTH\t", "CONT\t", "CANCEL\t", "\t", "\n", "1", "4294967295", "4294967296", "PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256",
    "OAUTHBEARER", "service=smtp", "rip=192.0.2.1", "rip=", "resp=", "resp==", "AGFubgB4", "nologin", "secured", "=", "\0", "\x01",
];

/// Files of accounts and aliases.
#[rustfmt::skip]
pub const ACCOUNTS: &[&str] = &[
    "ann@example.org", "@example.org", "\"a b\"@example.org", "\\", "\"", ":", "{PLAIN}", "{SHA512-CRYPT}$6$", "{SCRAM-SHA-256}", "{CRAM-MD5}", "{ARGON2ID}$argon2",
    "{BLF-CRYPT}$2", "{", "}", "!", "*", "nologin", "allow_nets=", "10.0.0.0/8", "::/0", "local", ",", ":::::", " ", "\t", "\n", "\r\n", "#", "../", "/", "\0", "\u{e4}",
    "\u{a0}", "xn--", "[192.0.2.1]", "bob", "$1",
];

/// Texts and what parts their words.
pub const WORDS_OF_MESSAGES: &[&str] = &[
    " ",
    ".",
    "-",
    "\0",
    "\r\n",
    "ab",
    "abc",
    "\u{e4}",
    "\u{4f60}",
    "\u{3a3}",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "invoice",
    "\0\u{1}\0\0\0",
];

/// HTML in mail, and the fields that rules look at.
pub const HTML: &[&str] = &[
    "<a href=",
    "</a>",
    "https://",
    "http://3221225985/",
    "javascript:",
    "<img src=cid:a alt=\"\">",
    "<script>",
    "</script>",
    "<form>",
    "style=\"display:none\"",
    "style='font-size:0'",
    "color:white",
    "bgcolor=#fff",
    "<style>",
    "</style>",
    "<title>",
    "<!--",
    "-->",
    "&#x0;",
    "&amp",
    "<meta http-equiv=refresh>",
    "hidden",
    "www.bank.com",
    "bit.ly",
    "@",
    "Content-Type: text/html; charset=utf-8\r\n",
    "Content-Type: multipart/alternative; boundary=b\r\n",
    "\r\n--b\r\n",
    "\r\n--b--\r\n",
    "Content-Transfer-Encoding: base64\r\n",
    "Subject: Re: ",
    "List-Unsubscribe: <https://a.example/>\r\n",
    "Precedence: bulk\r\n",
    "\r\n\r\n",
];
