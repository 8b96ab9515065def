//! The words of mail: domain, address, paths, envelope, header, MIME tree, trace fields, DSN text.

pub mod address;
pub mod address_list;
pub mod casemap;
pub mod charset;
pub mod content_type;
pub mod date;
pub mod domain;
pub mod dsn;
pub mod encoded_word;
pub mod envelope;
pub mod header;
pub mod id;
pub mod message_ids;
pub mod mime;
pub mod net_unicode;
pub mod network;
pub mod path;
pub mod raw_header;
pub mod report;
pub mod seam;
pub mod seven_bit;
pub mod subject;
pub mod trace;
pub mod transfer;
pub mod utf7;
pub mod visible;
