//! Every limit of this crate, by name, with its source. Peers meet them before memory is taken.

/// Longest command before login, with its literals, in octets (DESIGN limits; Dovecot CVE-2026-27857
/// shows why a stranger may not be given more).
pub const MAX_COMMAND_BEFORE_LOGIN: usize = 8 * 1024;
/// Longest literal before login, in octets (RFC 7888 §5: what LITERAL- allows unasked).
pub const MAX_LITERAL_BEFORE_LOGIN: u64 = 4096;
/// Longest command after login, with its literals but without the message of an APPEND, in octets.
/// RFC 2683 §3.2.1.5 asks for 8,000 at least; long UID sets need more, Dovecot has the same number.
pub const MAX_COMMAND: usize = 64 * 1024;
/// Longest response of a SASL exchange and longest line during IDLE, in octets: as before login.
pub const MAX_RESPONSE_LINE: usize = MAX_COMMAND_BEFORE_LOGIN;
/// A literal that comes unasked and is refused is read and dropped up to this many octets; for a larger
/// one the connection is closed (RFC 7888 §4 lets the server choose).
pub const MAX_DRAINED_LITERAL: u64 = 200 * 1024 * 1024;
/// Longest tag, in octets; real clients use below ten.
pub const MAX_TAG: usize = 64;
/// Deepest nesting of parentheses, NOT and OR (DESIGN limits).
pub const MAX_DEPTH: usize = 50;
/// Most search keys of one command; time grows with keys times messages.
pub const MAX_SEARCH_KEYS: usize = 500;
/// Longest name of a content or thread, in octets (RFC 8474 §7).
pub const MAX_OBJECT_ID: usize = 255;
/// Longest identifier of SETACL, in octets: an address, and what may stand before it.
pub const MAX_IDENTIFIER: usize = 330;
/// Longest name of an entry of METADATA, in octets.
pub const MAX_ENTRY: usize = 250;
/// Most entries of one GETMETADATA or SETMETADATA.
pub const MAX_METADATA_ENTRIES: usize = 100;
/// Most groups of one NOTIFY: each of their names is compared with each mailbox that changes its name.
pub const MAX_EVENT_GROUPS: usize = 16;
/// Most events of one group; there are eight in RFC 5465 §5.
pub const MAX_EVENTS: usize = 20;
/// Most names of mailboxes in one choice, as many as Dovecot takes in one NOTIFY.
pub const MAX_NAMED_MAILBOXES: usize = 100;
/// Most words of one RETURN; there are five that SEARCH knows.
pub const MAX_RETURN_OPTIONS: usize = 20;
/// Most options of one SELECT, and modifiers of one FETCH or STORE; there are two that each knows.
pub const MAX_SELECT_OPTIONS: usize = 10;
/// Most uses that one CREATE may name; there are seven in RFC 6154 §2.
pub const MAX_SPECIAL_USES: usize = 20;
/// Most items of one FETCH; Thunderbird asks for below ten.
pub const MAX_FETCH_ITEMS: usize = 100;
/// Most field names of one HEADER.FIELDS; Thunderbird asks for about twenty.
pub const MAX_FIELD_NAMES: usize = 200;
/// Deepest part number (`1.2.3`): the MIME parser opens no deeper.
pub const MAX_PART_DEPTH: usize = kings_mail::mime::MAX_DEPTH + 1;
/// Most messages of one APPEND (RFC 3502 leaves it open): each may need a file until all of them are there.
pub const MAX_APPEND_MESSAGES: u32 = 100;
/// Most parts that CATENATE puts together in one command: each may need a message read.
pub const MAX_CATENATE_PARTS: u32 = 200;
/// Longest URL of a message, in octets: a mailbox name with every octet as `%20`, and what stands behind it.
pub const MAX_URL: usize = 4_000;
/// Most flags of one command.
pub const MAX_FLAGS: usize = 100;
/// Longest keyword, in octets; Dovecot takes 50, other servers more.
pub const MAX_KEYWORD: usize = 100;
/// Longest mailbox name, in octets of modified UTF-7; the store may allow less.
pub const MAX_MAILBOX: usize = 1_000;
/// Most patterns or options of one LIST.
pub const MAX_LIST_PATTERNS: usize = 50;
/// Most fields of ID, and the longest value (RFC 2971 §3.3).
pub const MAX_ID_FIELDS: usize = 30;
/// Longest value of an ID field, in octets (RFC 2971 §3.3).
pub const MAX_ID_VALUE: usize = 1024;
/// Bad commands and failed logins after which the connection is closed (DESIGN limits).
pub const MAX_ERRORS: u32 = 20;
/// Most criteria of one SORT; there are nine keys, each once forwards and once back.
pub const MAX_SORT_CRITERIA: usize = 20;
/// Octets of all that one SORT compares: about those of a million messages.
pub const MAX_SORT_OCTETS: usize = 128 * 1024 * 1024;
/// Octets of all that one THREAD looks at, as [`MAX_SORT_OCTETS`].
pub const MAX_THREAD_OCTETS: usize = 256 * 1024 * 1024;
/// Steps from messages up to their oldest ancestors that one THREAD takes to find loops: half a second.
pub const MAX_THREAD_STEPS: usize = 50_000_000;
/// Octets that are kept of each text that messages are sorted by; beyond them two texts count as equal.
pub const MAX_SORT_KEY: usize = 1_000;
/// Identifiers that are kept of one References field, the last ones; a line of usual length has room for about twenty.
pub const MAX_REFERENCES: usize = 200;
