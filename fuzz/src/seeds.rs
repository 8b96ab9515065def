//! Where fuzzing starts: the client's side of the protocol transcripts, and a few small messages.

use std::path::Path;

/// Tables of transport(5).
#[rustfmt::skip]
pub const TRANSPORTS: &[&str] = &[
    "example.net smtp:[10.0.0.5]:25\n.example.net relay:[hub.example]:submission\n# a comment\njoe@a.example :\n  \n* smtp:\n",
    "a.example smtp:[a.example], [IPv6:2001:db8::1]:26\nb.example smtp:hub.example:2525\nc.example\n",
    "a.example lmtp:unix:/run/dovecot/lmtp\nb.example lmtp:inet:127.0.0.1:24\nc.example discard:nobody\n  reads it\n",
    "a.example error:5.1.6 gone\nb.example retry:5.2.1\nc.example retry:4.2.1 next week\n<> DUNNO\nd.example virtual:\n",
];

/// Tables of regexp_table(5).
#[rustfmt::skip]
pub const REGEXP_TABLES: &[&str] = &[
    "/^list-(.*)@example\\.org$/ $1@lists.example\n!/@x$/ other\n",
    "if /^sales/\n/^sales-(us|ca)@/i north,\n  $(1)@x\nendif\n|a|m $$\0sales-us@example.org",
];

/// Tables of cidr_table(5).
#[rustfmt::skip]
pub const CIDR_TABLES: &[&str] = &[
    "192.0.2.0/24 REJECT\n[2001:db8::]/32 OK\n!10.0.0.0/8 DUNNO\n\x00192.0.2.7",
    "if !10.0.0.0/9\n10.200.0.0/16 554 no\n  more of it\nendif\n[2001:db8::1] OK\n\x002001:db8::1",
];

/// Rules of header_checks(5) and a header, parted by NUL.
#[rustfmt::skip]
pub const HEADER_CHECKS: &[&str] = &[
    "/^Subject:.*pills/ REJECT no\n/^X-(\\w+): (.*)$/ REPLACE Y-$1: $2\n\0Subject: a\r\nX-B: c\r\n d\r\n\r\nX: body\r\n",
    "if /^List/\n/dev/ PREPEND X-Folder: dev\nendif\n/^Bcc/ IGNORE\n\0List-Id: dev\r\nBcc: x\r\n",
    "/^x/ WARN\n/y$/ HOLD z\n\0Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX: y\r\n\r\nx\r\n--b--\r\n",
];

/// Addresses as SRS makes them.
#[rustfmt::skip]
pub const SRS: &[&str] = &[
    "ann@x.example",
    "SRS0=abcd=ab=x.example=ann@our.example",
    "SRS1=abcd=y.example==abcd=ab=x.example=ann@our.example",
];

/// Files of aliases(5).
#[rustfmt::skip]
pub const SYSTEM_ALIASES: &[&str] = &[
    "# who\nroot: ann\npostmaster: root,\n  joe@elsewhere.example\n\"odd name\": \"a, b\"@x, \\ann\n",
    "a: |cat\nb: \"|cat\"\nc: /var/mail/c\nd: :include:/etc/d\n",
];

/// OpenDKIM's config as Debian writes it, and one with lists and odd lines.
#[rustfmt::skip]
pub const OPENDKIM_CONF: &[&str] = &[
    "# Log\nSyslog\t\t\tyes\nUMask 007\nUserID opendkim\nSocket local:/run/opendkim/opendkim.sock\nPidFile /run/opendkim/opendkim.pid\n\
     OversignHeaders From\nTrustAnchorFile /usr/share/dns/root.key\n",
    "Mode sv # both\r\nKeyTable file:/etc/opendkim/KeyTable\nSigningTable refile:/etc/opendkim/SigningTable\nSyslog\n\
     SignHeaders *,+X-A,-To\nInternalHosts csl:10.0.0.0/8, ::1\nExternalIgnoreList ldap://x\nMacroList daemon_name=a|b\n",
];

/// A KeyTable with a path and a key, SigningTables of both kinds, and hosts.
#[rustfmt::skip]
pub const OPENDKIM_TABLES: &[&str] = &[
    "a example.org:s:/etc/keys/a.private # old\nb %:s:MC4CAQAwBQYDK2VwBCIEILmMohpRnleUfygZky6tFeWSseS12oGB0exVowEVJs5q\n",
    "*@example.org a\n*@*.example.org b\n",
    "ann@a.example.org a\n.example.org b\n* c\n",
    "10.0.0.0/8\n!10.0.0.1\n.example.org\n[::1]\n",
];

/// Replies of socketmap servers.
pub const SOCKETMAP: &[&str] = &["18:OK ann@example.org,", "9:NOTFOUND ,", "12:TEMP oh dear,", "100000:x"];

/// Small messages, one for each branch of the message parsers.
#[rustfmt::skip]
pub const MESSAGES: &[&str] = &[
    "From: Ann <ann@example.org>\r\nTo: bob@example.org, \"Lee, C\" <c@example.org>\r\nSubject: hello\r\n\r\nhello\r\n",
    "Received: from a by b; Fri, 6 Nov 2026 10:00:00 +0000\r\nSubject: =?utf-8?q?K=C3=A4se?=\r\n\t=?utf-8?b?w6Q=?=\r\n\r\n",
    "To: Friends: ann@x, Bob (b) <@a,@b:b@y>; c@[192.0.2.1]\r\nFrom: \"a\\\"b\"@x\r\n\r\nbody",
    "Content-Type: multipart/mixed; boundary=\"a\"\r\n\r\npreamble\r\n--a\r\n\r\none\r\n--a\r\n\
     Content-Type: multipart/alternative; boundary=aa\r\n\r\n--aa\r\nContent-Type: text/html; charset=utf-8\r\n\
     Content-Transfer-Encoding: quoted-printable\r\n\r\n<p>=C3=A4=\r\n</p>\r\n--aa--\r\n--a--\r\nepilogue\r\n",
    "Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\nSubject: one\r\n\r\n1\r\n--d\r\n\r\nSubject: two\r\n\r\n2\r\n--d--\r\n",
    "Content-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n",
    "Content-Type: application/pdf;\r\n name*0*=utf-8''K%C3%A4; name*1=\"se.pdf\"; x=(c) y\r\n\
     Content-Disposition: attachment; filename=\"=?utf-8?q?K=C3=A4se.pdf?=\"\r\nContent-ID: <1@x>\r\n\
     Content-Language: en, de\r\n\r\n%PDF",
    "From ann Fri Nov  6 10:00:00 2026\nFrom: ann@example.org\nSubject: bare line ends\n\nbody\n",
];

/// A token of each fate: for another key, unsigned, with a shared secret, of another kind.
#[rustfmt::skip]
pub const OAUTH_TOKENS: &[&str] = &[
    "eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUub3JnIiwiYXVkIjoia2luZ3MiLCJleHAiOjE4MDAwMDAzMDAsImVtYWlsIjoiYW5uQGV4YW1wbGUub3JnIn0.AAAA",
    "eyJhbGciOiJub25lIn0.e30.",
    "eyJhbGciOiJIUzI1NiJ9.e30.AAAA",
    "opaque",
];

/// Sets of keys, and claims.
#[rustfmt::skip]
pub const OAUTH_KEYS: &[&str] = &[
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},{"kty":"oct","k":"AAAA"}]}"#,
    r#"{"keys":[{"kty":"EC","crv":"P-256","use":"sig","alg":"ES256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#,
    r#"{"iss":"https://id.example.org","aud":["kings"],"exp":1800000300,"nbf":1,"email":"ann@example.org","email_verified":true}"#,
];

/// Answers of a policy service.
#[rustfmt::skip]
pub const POLICY_ANSWERS: &[&str] = &[
    "action=DUNNO\n\n",
    "action=REJECT 5.7.1 no thanks\n\n",
    "x=1\naction=DEFER_IF_PERMIT Greylisted\n\n",
    "action=PREPEND X-Greylist: delayed 300 seconds\n\n",
    "action=451 4.3.5 broken\n\n",
    "action=REDIRECT \"a b\"@example.org\n\n",
    "action=DISCARD\n\n",
];

/// Values of From and To fields.
#[rustfmt::skip]
pub const ADDRESS_LISTS: &[&str] = &[
    "ann@example.org",
    "Ann (the) \"Lee\" J. <ann@example.org> (work), bob@example.org\r\n",
    "Friends: ann@x, Bob (b) <@a,@b:b@y>; c@[192.0.2.1]",
    "\"a\\\"b\"@x, =?utf-8?q?K=C3=A4se?= <k@x.example>",
    "undisclosed-recipients:;",
    "J\u{e4}n <j\u{e4}n@b\u{fc}cher.example>",
    "a@x.example <b@y.example>, \"open <c@z.example>, <<d@w.example>> (e@v.example",
    "=?utf-8?q?Ann_=3Cann=40x=2Eexample=00=3E?=, a@b@c.example, 'ann@x.example', [mailto:a@x.example]",
    "<\u{81}@\ra,@b:b@y>",
    "=?utf-7?q?ceo+AEA-x.example?=, ann@y.example <b@z.example>, =?utf-16?q?=00a=00=40=00b?=",
    // Each part fits and both together do not.
    "<aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@\
     aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.\
     bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.\
     ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc.example>",
];

/// Sets of records as Route 53 lists them.
pub const ROUTE53: &[&str] = &[
    "<ResourceRecordSet><Name>example.org.</Name><Type>TXT</Type><TTL>300</TTL><ResourceRecords><ResourceRecord><Value>&quot;v=spf1 a \
     \\344&quot;</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>",
    "<ResourceRecordSet><Name>mail.example.org.</Name><Type>A</Type><AliasTarget><DNSName>x.</DNSName></AliasTarget></ResourceRecordSet>",
];

/// Files of the AWS CLI.
pub const AWS: &[&str] = &[
    "[default]\naws_access_key_id = AKID\naws_secret_access_key = s3cr=t/+\n",
    "[profile default]\naws_access_key_id=A\naws_secret_access_key=B\naws_session_token=C==\n# x\n[other]\n",
];

/// Data of records, of each form.
pub const DNS_RECORDS: &[&str] = &[
    "10 mail.example.org.",
    "0 1 993 mail.example.org.",
    "0 issue \"letsencrypt.org; accounturi=https://ca.example/1\"",
    "3 1 1 00ff00ff",
    "\"v=DKIM1; k=rsa; \" \"p=MIIB\\\"\\092\\009\"",
    "2001:db8::1",
];

/// Policies and records of MTA-STS.
pub const MTA_STS: &[&str] = &[
    "version: STSv1\r\nmode: enforce\r\nmx: mail.example.org\r\nmx: *.example.net\r\nmax_age: 604800\r\n",
    "version: STSv1\nmode: none\nmax_age: 86400\n",
    "v=STSv1; id=20160831085700Z;",
];

/// Packets of the milter protocol, both directions.
#[rustfmt::skip]
pub const MILTER: &[&str] = &[
    "\0\0\0\x0dO\0\0\0\x06\0\0\0\x01\0\0\0\x40\0\0\0\x0cDCj\0mx.test\0_\0\0\0\0\x12Chost\x004\0\x1910.0.0.1\0\0\0\0\x04Hme\0",
    "\0\0\0\x0dO\0\0\0\x06\0\0\0\x01\0\0\0\0\0\0\0\x06M<a@b>\0\0\0\0\x07R<c@d>\0\0\0\0\x01T\0\0\0\x06LTo\0c\0\0\0\0\x01N\0\0\0\x03Bhi\0\0\0\x01E\0\0\0\x01A\0\0\0\x01Q",
    "\0\0\0\x0dO\0\0\0\x06\0\0\x01\x7f\0\0\0\0\0\0\0\x01c\0\0\0\x06hX\0y\0\0\0\0\x0ey550 5.7.1 No\0\0\0\0\x01a",
];

/// Records of SPF.
pub const SPF_RECORDS: &[&str] = &[
    "v=spf1 a mx/24//64 include:_spf.d.example ~all",
    "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 exists:%{ir}.%{v}.%{l1r+-}.d.example -all exp=why.%{d2}",
    "v=spf1 ptr:d.example redirect=_spf.%{o} x-unknown=%{s}",
];

/// Zones for SPF, headed by who asks.
pub const SPF_ZONES: &[&str] = &[
    "192.0.2.1 h.example ann@d.example\nd.example v=spf1 a mx include:e.example ptr exists:%{p}.%{d} -all exp=w.example\n\
     d.example m.example\nm.example 192.0.2.2\ne.example v=spf1 redirect=d.example\n192.0.2.1 m.example\nw.example no %{s}, %{c}\n",
    "2001:db8::1 d.example\nd.example v=spf1 include:d.example a:%{l}.%{h} -all",
    "192.0.2.1 h.example \nh.example v=spf1 ?all",
];

/// Values of DKIM-Signature fields; the first stands in RFC 8463 §A.3.
#[rustfmt::skip]
pub const DKIM_SIGNATURES: &[&str] = &[
    " v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n d=football.example.com; i=@football.example.com;\r\n q=dns/txt; s=brisbane; \
     t=1528637909; h=from : to :\r\n subject : date : message-id : from : subject : date;\r\n \
     bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n \
     Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n",
    "v=1; a=rsa-sha1; d=example.org; s=a.b; h=from; l=0; x=9; t=1; i=a=20b@x.example.org; bh=AA; b=AAAA; z=From:x",
];

/// Key records.
#[rustfmt::skip]
pub const DKIM_KEYS: &[&str] = &[
    "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    "v=DKIM1; h=sha1:sha256; s=*; t=y:s; n=note; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2\
     jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB",
    "p=",
];

/// Messages with and without signatures.
#[rustfmt::skip]
pub const DKIM_MESSAGES: &[&str] = &[
    "From: Joe <joe@football.example.com>\r\nSubject: Is dinner ready?\r\n\r\nHi.\r\n\r\n We  lost \t\r\n\r\n",
    "DKIM-Signature: v=1; a=ed25519-sha256; d=example.org; s=s; h=from:from; l=3; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; \
     b=AAAA\r\ndkim-signature : v=1; a=rsa-sha256; c=relaxed; d=example.org; s=s; h=from; \
     bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\nFrom: a\r\n\r\nabc",
];

/// Records of DMARC.
pub const DMARC_RECORDS: &[&str] = &[
    "v=DMARC1; p=reject; sp=quarantine; np=reject; adkim=s; aspf=r; t=y; psd=n; fo=1:d:s",
    "v=DMARC1;rua=mailto:a@example.org!10m,mailto:b%21@example.net;ruf=mailto:c@example.org?subject=x;p=what",
];

/// Headers with Authentication-Results, ours and others'.
pub const AUTH_RESULTS: &[&str] = &[
    "Authentication-Results: mail.example.org; spf=pass smtp.mailfrom=example.net\r\nSubject: x\r\n\r\nbody",
    "authentication-results :\r\n\t(c (d)) \"MAIL.example.\\org\" 1;\r\n none\r\nAuthentication-Results: other.example; none\r\n\r\n",
];

/// Messages with and without chains.
#[rustfmt::skip]
pub const ARC: &[&str] = &[
    "From: a\r\nSubject: hello\r\n\r\nHi\r\n",
    "ARC-Seal: i=1; a=ed25519-sha256; t=1; cv=none; d=example.org; s=s; b=AAAA\r\nARC-Message-Signature: i=1; a=ed25519-sha256; \
     c=relaxed/relaxed; d=example.org; s=s; h=from;\r\n bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n\
     ARC-Authentication-Results: i=1; mx.example; spf=pass\r\nFrom: a\r\n\r\nHi\r\n",
    "ARC-Seal: i=1; a=rsa-sha256; cv=fail; d=example.org; s=s; b=AAAA\nARC-Message-Signature: i=1; a=b\n\
     ARC-Authentication-Results: i=1; x\nFrom: a\n\n",
];

/// Reports, and the name of one's file.
#[rustfmt::skip]
pub const REPORTS: &[&str] = &[
    "<?xml version=\"1.0\"?><feedback xmlns=\"urn:ietf:params:xml:ns:dmarc-2.0\"><version>1.0</version><report_metadata><org_name>a &amp; b</org_name>\
     <email>x@y</email><report_id>1</report_id><date_range><begin>1</begin><end>2</end></date_range></report_metadata><policy_published><domain>d</domain>\
     <adkim>s</adkim><p>reject</p><np>none</np><testing>y</testing></policy_published><record><row><source_ip>192.0.2.1</source_ip><count>3</count>\
     <policy_evaluated><disposition>pass</disposition><dkim>pass</dkim><spf>fail</spf><reason><type>other</type></reason></policy_evaluated></row>\
     <identifiers><header_from>d</header_from></identifiers><auth_results><dkim><domain>d</domain><selector>s</selector><result>pass</result></dkim>\
     <spf><domain>d</domain><result>none</result></spf></auth_results></record></feedback>",
    "{\"organization-name\":\"x\",\"date-range\":{\"start-datetime\":\"2016-04-01T00:00:00Z\",\"end-datetime\":\"2016-04-01T23:59:59Z\"},\"report-id\":\"1\",\
     \"policies\":[{\"policy\":{\"policy-type\":\"sts\",\"policy-string\":\"a\",\"policy-domain\":\"d\"},\"summary\":{\"total-successful-session-count\":1,\
     \"total-failure-session-count\":0},\"failure-details\":[{\"result-type\":\"x\",\"failed-session-count\":1}]}]}",
    "mail.receiver.example!example.com!1013662812!1013749130!7.xml.gz",
];

/// Mailbox names and other words, in the forms in which they travel.
#[rustfmt::skip]
pub const WORDS: &[&str] = &[
    "Entw&APw-rfe",
    "&U,BTFw-/&ZeVnLIqe-",
    "a&-b",
    "INBOX",
    "=?utf-8?q?K=C3?= =?utf-8?b?pHNl?=",
    "=?iso-2022-jp?b?GyRCJCIbKEI=?=",
    "=?utf-7?q?ceo+AEA-x+2D3eAA-?= =?utf-16?b?AGEAQABi?=",
    "utf-7\n+ImIDkQ-.+AEA",
    "text/plain; charset=\"utf-8\"",
    "attachment; filename*=utf-8''a%20b",
    "aGVs bG8=\r\n",
    "soft =\r\nbreak=3D",
];

/// SMTP commands of every kind.
#[rustfmt::skip]
pub const SMTP_COMMANDS: &[&str] = &[
    "EHLO client.example",
    "MAIL FROM:<ann@example.org> SIZE=100 BODY=8BITMIME",
    "MAIL FROM:<>",
    "RCPT TO:<\"a b\"@[IPv6:2001:db8::1]>",
    "RCPT TO:<@a,@b:c@d>",
    "AUTH PLAIN AGFubgBzZWNyZXQ=",
    "DATA",
    "VRFY ann",
    "BDAT 100 LAST",
    "LHLO client.example",
    "MAIL FROM:<ann@example.org> REQUIRETLS HOLDUNTIL=2026-11-23T10:00:00Z",
    "XCLIENT NAME=a.example ADDR=IPV6:2001:db8::1 PORT=1 PROTO=ESMTP HELO=[UNAVAILABLE] LOGIN=ann+20b",
    "XFORWARD ADDR=192.0.2.1 IDENT=1 SOURCE=REMOTE",
];

/// A whole SMTP session as the client sends it.
#[rustfmt::skip]
pub const SMTP_SESSIONS: &[&str] = &[
    "EHLO client.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\nSubject: x\r\n\r\n..hello\r\n.\r\nQUIT\r\n",
    "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nBDAT 5\r\none\r\nBDAT 3 LAST\r\n.\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n",
    "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nRCPT TO:<c@b>\r\nDATA\r\nx\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nBDAT 1 LAST\r\n\r",
    "EHLO x\r\nXCLIENT ADDR=192.0.2.1 LOGIN=ann HELO=y\r\n",
    "EHLO x\r\nXFORWARD ADDR=192.0.2.1 IDENT=1\r\nMAIL FROM:<> HOLDFOR=10 REQUIRETLS\r\n",
    "HELO x\r\nSTARTTLS\r\nNOOP\r\nAUTH PLAIN\r\n*\r\nRSET\r\n",
];

/// What a server says during one transaction, with and without TLS and login.
#[rustfmt::skip]
pub const SMTP_REPLIES: &[&str] = &[
    "220 mx.example ESMTP\r\n250-mx.example\r\n250-SIZE 1000\r\n250 8BITMIME\r\n250 2.1.0 OK\r\n250 OK\r\n\
     550-5.1.1 no such\r\n550 5.1.1 user\r\n452 4.5.3 later\r\n354 go\r\n250 2.0.0 queued\r\n221 bye\r\n",
    "220 x\r\n250-x\r\n250-STARTTLS\r\n250 AUTH LOGIN PLAIN\r\n220 go\r\n250-x\r\n250 AUTH LOGIN\r\n334 VXNlcm5hbWU6\r\n\
     334 UGFzc3dvcmQ6\r\n235 2.7.0 in\r\n250 OK\r\n421 4.3.2 going down\r\n",
    "220 x\r\n502 what?\r\n250 x\r\n250 a\r\n250 b\r\n250 c\r\n250 d\r\n250 e\r\n",
];

/// Headers of messages that refer to each other.
pub const THREADS: &[&str] = &[
    "Message-ID: <1@x>\r\nSubject: a\r\n|Message-ID: <2@x>\r\nReferences: <1@x>\r\nSubject: Re: a\r\n\
     |Message-ID: <3@x>\r\nReferences: <1@x> <2@x> <0@x>\r\n|References: <0@x>\r\nSubject: a (fwd)\r\n",
    "Message-ID: <1@x>\r\nReferences: <2@x>\r\n|Message-ID: <2@x>\r\nReferences: <1@x>\r\n|Message-ID: <2@x>\r\n",
    "Subject: a\r\n|Subject: Re: a\r\n|Subject: [fwd: a]\r\n|Subject: a\r\nDate: 1 Jan 2027 00:00 +0000\r\n",
];

/// IMAP commands, one of each kind of argument.
#[rustfmt::skip]
pub const IMAP_COMMANDS: &[&str] = &[
    "a LOGIN ann \"sec\\\"ret\"", "a SELECT {5}\r\nINBOX",
    "a UID FETCH 1:*,4 (FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (To \"From\")]<0.99> BODY[2.1.MIME])",
    "a UID SORT RETURN (MIN ALL) (REVERSE SUBJECT DISPLAYFROM SIZE ARRIVAL CC TO DATE) UTF-8 ALL",
    "a THREAD REFERENCES US-ASCII UNSEEN",
    "a SEARCH CHARSET UTF-8 OR (SUBJECT {1}\r\nx NOT SEEN) UID 1:4,* SINCE 1-Nov-2026 HEADER To \"\" LARGER 10",
    "a LIST (SPECIAL-USE) \"\" (\"%\" \"Entw&APw-rfe.*\") RETURN (SUBSCRIBED)", "a STORE 1:2 -FLAGS.SILENT (\\Seen $x)",
    "a CREATE Gesendet (USE (\\Sent \\All))", "a UNAUTHENTICATE",
    "a FETCH 1 (BINARY[1.2]<0.99> BINARY.PEEK[] BINARY.SIZE[1])",
    "a UID FETCH 1:* FLAGS (PARTIAL -1:-30 CHANGEDSINCE 7)", "a UID SEARCH RETURN (PARTIAL 1:500 SAVE) $",
    "a SETMETADATA \"\" (/private/comment ~{3+}\r\na\0b /shared/x/y NIL)",
    "a GETMETADATA (DEPTH infinity MAXSIZE 10) INBOX (/private /shared/comment)", "a LIST \"\" * RETURN (METADATA (/private/a))",
    "a UID FETCH 1 (EMAILID THREADID SAVEDATE PREVIEW (LAZY))", "a SEARCH EMAILID M1_2e OR SAVEDSINCE 1-Nov-2026 SAVEDATESUPPORTED",
    "a STATUS INBOX (MESSAGES UIDNEXT)", "a ID (\"name\" NIL)", "a UID MOVE 1:* Trash", "a AUTHENTICATE PLAIN =",
];

/// IMAP sessions.
#[rustfmt::skip]
pub const IMAP_SESSIONS: &[&str] = &[
    "a LOGIN ann secret\r\nb SELECT INBOX\r\nc FETCH 1 BODY[]\r\nd IDLE\r\nDONE\r\ne LOGOUT\r\n",
    "a APPEND \"Sent\" (\\Seen) \" 1-Nov-2026 10:00:00 +0000\" {5+}\r\nhello\r\nb LOGIN {3}\r\nann {6+}\r\nsecret\r\n",
    "a APPEND Sent {3+}\r\none (\\Seen) {3+}\r\ntwo \" 1-Nov-2026 10:00:00 +0000\" {5}\r\nthree\r\nb NOOP\r\n",
    "a SELECT INBOX\r\nb REPLACE 1 Sent (\\Draft) {3+}\r\none\r\nc UID REPLACE * Sent ~{4+}\r\n\0one\r\nd NOOP\r\n",
    "a ENABLE UTF8=ACCEPT IMAP4rev2\r\nb APPEND Gr\u{fc}n UTF8 (~{3+}\r\none) UTF8 (~{3+}\r\ntwo)\r\nc LIST \"\" \"\u{fc}%\"\r\nd SEARCH ALL\r\n",
    "a COMPRESS DEFLATE\r\nb NOOP\r\nc UNAUTHENTICATE\r\nd LOGIN ann secret\r\n",
    "a STARTTLS\r\nb AUTHENTICATE PLAIN\r\nAGFubgBzZWNyZXQ=\r\nc AUTHENTICATE LOGIN\r\n*\r\n",
];

/// Sessions of POP3, and a format of unique-ids.
pub const POP3_SESSIONS: &[&str] = &[
    "CAPA\r\nSTLS\r\nUSER ann\r\nPASS secret\r\nSTAT\r\nLIST\r\nUIDL\r\nRETR 1\r\nTOP 1 1\r\nDELE 1\r\nQUIT\r\n",
    "AUTH PLAIN\r\nAGFubgBzZWNyZXQ=\r\nRETR 3\r\nDELE 1\r\nDELE 2\r\nRSET\r\nQUIT\r\n",
    "%08Xu%08Xv\n%v.%u\n%g\n",
];

/// Headers of both versions of the PROXY protocol.
#[rustfmt::skip]
pub const PROXY_HEADERS: &[&str] = &[
    "PROXY TCP4 192.0.2.1 198.51.100.1 56324 25\r\nEHLO x\r\n",
    "PROXY TCP6 2001:db8::1 ::1 4 25\r\n",
    "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
    "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\0\x19\0\x19EHLO x\r\n",
    "\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24\x20\x01\r\x08\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\r\x08\0\0\0\0\0\0\0\0\0\0\0\x02\0\x19\0\x19",
    "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
    "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\x01\x02\x03\x04\x05\x06\x07\x08\0\x19\0\x19\x03\0\x04\x01\x02\x03\x04",
];

/// What HTTPS servers answer.
#[rustfmt::skip]
pub const HTTP_RESPONSES: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
    "HTTP/1.0 301 Moved\r\nLocation: https://other.example:8443/.well-known/mta-sts.txt?x\r\n\r\nold",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404\r\nConnection: close\r\n\r\n",
    "HTTP/1.1 302 Found\r\nLocation: //user@[::1]/\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
];

/// What mail programs ask for at port 443.
pub const HTTP_REQUESTS: &[&str] = &[
    "mail.example.org:443",
    "autodiscover.example.org.",
    "Email=ann%40example.org&Protocol=AutodiscoverV1",
    "emailaddress=%22ann%20lee%22@xn--bcher-kva.example",
    "<Autodiscover><Request><EMailAddress>ann&amp;joe@example.org</EMailAddress></Request></Autodiscover>",
    "<a:EMailAddress xmlns:a='x'>ann&#64;example.org</a:EMailAddress>",
];

/// Entries of the queue; their checksums are made true.
#[rustfmt::skip]
pub const QUEUE_ENTRIES: &[&str] = &[
    "kings-queue 2\nid 1f8s0xk2m3n4p5q\narrived 1795000000 Mon, 23 Nov 2026 23:06:40 +0000\nreverse-path <ann@example.org>\nbody 8bitmime\n\
     smtputf8 no\nrecipient <joe@elsewhere.example>\nrecipient <sue@third.example> notify=SUCCESS,FAILURE orcpt=rfc822;sue@first.example\n\
     content-length 4\ncontent-checksum 89abcdef\nenvelope-checksum 01234567\n\nhi\r\n\
     00000000 at=1795000001 recipient=1 outcome=delivered status=2.0.0 remote=\"mx.elsewhere.example\" reply=\"250 OK\"\n\
     00000000 at=1795000002 recipient=2 outcome=deferred next=1795000300 status=4.4.1 reply=\"cannot \\\"connect\\\"\"\n",
    "kings-queue 2\nid 1f8s0xk2m3n4p5q-2\narrived 1795000000 x\nreverse-path <>\nbody 7bit\nsmtputf8 yes\nret hdrs\nenvelope-id a+20b\nrequire-tls yes\n\
     hold-until 1795100000\nrecipient <\"a> b\"@x.example> resolved=yes added=yes notify=NEVER\ncontent-length 0\ncontent-checksum 00000000\n\
     envelope-checksum 00000000\n\n00000000 at=1 recipient=1 outcome=held\n00000000 at=2 recipient=1 outcome=released next=3\n\
     00000000 at=4 recipient=1 outcome=failed status=5.1.1 reply=\"550 no\"\n00000000 at=5 recipient=1 outcome=reported\n00000000 at=6 recipient=1 outcome=warned\n",
    "kings-queue 1\nid 1f8s0xk2m3n4p5q\narrived 1 x\nreverse-path <ann@example.org>\nbody 7bit\nsmtputf8 no\nrecipient <joe@x.example>\ncontent-length 2\n\
     content-checksum 00000000\nenvelope-checksum 00000000\n\n\r\n",
    "kings-queue 3\n\n",
];

/// The side files of a mailbox as Dovecot leaves them.
#[rustfmt::skip]
pub const SIDE_FILES: &[&str] = &[
    "3 V1795479510 N0000000003 G5176b62dd4d7046bf65c000083ecc375\n1 :1795479508.M845978P23800.host,S=23,W=27\n2 G0123456789abcdef W27 :1795479508.M882113P23801.host\n",
    "3 V1 N5 Zx G5176b62dd4d7046bf65c000083ecc375\n1 :a\n3 :b\n4 :a\n5 :cut",
    "1 1795479510 3\n1 a.host\n2 b.host:2,S\n",
    "0 $Forwarded\n1 Junk\n25 NonJunk\n26 x\nx y\n",
    "V\t2\n\nSent\nA\tB\nGr&APwA3w-e\n",
    "Sent\n~odd/line\nA.B\nINBOX\n",
];

/// `dovecot-acl` of a mailbox.
pub const ACL_FILES: &[&str] = &[
    "owner lrwstipekxa\nuser=joe@example.org lrs\n-user=joe@example.org w\nanyone l\n",
    "# by hand\n\"user=joe blow\" lr :x-later\ngroup-override=staff lrk\nauthenticated :lookup read\n",
    "user=\"a\\\\b\" l\n\"user=a\\\"b' lr\nuser=joe@example.org\nnobody lr\n",
];

/// Connections of mail servers that have logins checked.
pub const AUTH: &[&str] = &[
    "VERSION\t1\t1\nCPID\t4711\nAUTH\t1\tPLAIN\tservice=smtp\tnologin\tlip=192.0.2.1\trip=2001:db8::7\tsecured\tresp=AGFubgB4\n",
    "VERSION\t1\t2\nAUTH\t5\tLOGIN\tservice=smtp\nCONT\t5\tYW5u\nCONT\t5\tc2VjcmV0\n",
    "VERSION\t1\t2\nAUTH\t1\tCRAM-MD5\nCANCEL\t1\nAUTH\t1\tSCRAM-SHA-256\tresp==\n",
    "VERSION\t2\t0\n",
    "AUTH\t1\tPLAIN\n",
];

/// Exchanges: the first octet says which mechanism, each line is a turn. Those of SCRAM are right ones.
#[rustfmt::skip]
pub const SASL: &[&str] = &[
    "\x05\0ann\0secret",
    "\x05ann\0ann\0a very secret password",
    "\x06ann\nsecret",
    "\x07n,a=ann@example.org,\x01host=mail.example.org\x01port=143\x01auth=Bearer dG9rZW4=\x01\x01\n\x01",
    "\x07n,,\x01auth=bearer a.b-c\x01\x01",
    "\x08user=ann@example.org\x01auth=Bearer dG9rZW4=\x01\x01\n",
    "\x09ann 0123456789abcdef0123456789abcdef",
    "\x09<1896.697170952@postoffice.example.net>",
    "\0",
    "\0ann@example.org",
    "\x03n,,n=ann,r=client\nc=biws,r=clientserver,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
    "\x03n,a=a=2Cnn,n=a=2Cnn,r=client,x=y\nc=bixhPWE9MkNubiw=,r=clientserver,x=y,p=AAAA\n",
    "\x03\nr=clientserver,s=c2FsdA==,i=4096\nv=AAAA",
    "\x04y,,n=ann,r=client\nc=eSws,r=clientserver,p=AAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
    "\x01p=tls-exporter,,n=ann,r=client\nc=cD10bHMtZXhwb3J0ZXIsLA==,r=clientserver,p=AAAA\n",
];

/// Accounts as Dovecot's passwd-file has them.
#[rustfmt::skip]
pub const PASSWD_FILES: &[&str] = &[
    "# who\nann@example.org:{PLAIN}secret\nBob@example.org:{SHA512-CRYPT}$6$abcdefgh$0123456789:1000:1000::/home/bob::nologin allow_nets=10.0.0.0/8,::1\n\
     carol@example.org:!:::::\ndave@example.org::::::\n",
    "ann@example.org:{SCRAM-SHA-256}4096,c2FsdA==,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\
     bob@example.org:{CRAM-MD5}0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n\
     eve@example.org:{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$AAAA$AAAA\nmal@example.org:{BLF-CRYPT}$2y$05$abcdefghijklmnopqrstuv\n",
    "ann:{PLAIN}x\n../x@example.org:{PLAIN}x\nann@example.org:secret\nann@example.org:{MD5}x\nANN@example.org:{PLAIN}y\n",
];

/// Tables of virtual(5).
#[rustfmt::skip]
pub const VIRTUAL_ALIASES: &[&str] = &[
    "# who\ninfo@example.org ann@example.org, bob@example.org\n@old.example @example.org\npostmaster ann@example.org\n",
    "\"a b\"@example.org joe@elsewhere.example,\n  \"c, \\\"d\"@x.example  @y.example\n\nall@example.org ann bob\n",
    "x@example.org\n@nowhere example\nx@example.org y@example.org\nx@example.org z@example.org\n",
];

/// One input for each transcript in `crates/PROTOCOL/tests/transcripts`: what the client says (`C: `); escapes of a transcript
/// stay as they are.
///
/// Nothing is found, and nothing wrong, when the program runs away from its source tree.
pub fn transcripts(protocol: &str) -> Vec<Vec<u8>> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates").join(protocol).join("tests/transcripts");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    paths.sort();
    paths
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .map(|text| client_side(&text))
        .collect()
}

fn client_side(transcript: &str) -> Vec<u8> {
    let said = transcript.lines().filter_map(|line| line.strip_prefix("C:"));
    let lines = said.flat_map(|line| [line.strip_prefix(' ').unwrap_or(line), "\r\n"]);
    lines.collect::<String>().into_bytes()
}

/// A text, what to look for in it, and nonsense.
pub const WORDS_OF_MESSAGES: &[&str] = &[
    "the invoice of 2024-07 is paid\0voice of\0",
    "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz0123456789\0nopqrstuvwxyzabcdefghijklmnopqrstuvwxyz\0",
    "gr\u{fc}\u{df}e, \u{4f60}\u{597d}\0\u{4f60}\0",
    "\u{1}\0\0\0\u{1}\0\0\0\0\0\0\0\0\0word\0",
];

/// Messages that several rules hit.
pub const CONTENTS: &[&str] = &[
    "From: \"x@bank.example\" <ann@example.org>\r\nSubject: RE: HELLO THERE!!\r\nPrecedence: bulk\r\nDate: x\r\nMIME-Version: 1.0\r\n\
     Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
     See http://bit.ly/x and https://a@b.example/.\r\n--b\r\nContent-Type: text/html; charset=x\r\n\r\n\
     <div style=\"display:none\">no</div><p>See <a href='http://192.0.2.1/'>https://bank.example</a><img src=x>\r\n--b--\r\n",
    "From: a@b.example\nContent-Type: multipart/mixed; boundary=m\nContent-Transfer-Encoding: base64\n\n--m\n\
     Content-Disposition: attachment; filename=a.exe\nContent-Transfer-Encoding: base64\n\n!!\n--m\n\n<font color=#fff bgcolor=white>x\n",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_what_the_client_said() {
        let transcript = "# A comment\nS: 220 x\nC: EHLO y\nS: 250 x\nC:\nC: QUIT\n";
        assert_eq!(client_side(transcript), b"EHLO y\r\n\r\nQUIT\r\n");
    }
}
