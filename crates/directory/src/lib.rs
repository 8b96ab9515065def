//! Who exists: domains, accounts, aliases, passwords.

mod aliases;
mod changes;
mod cidr_table;
mod directory;
mod doubts;
mod edit;
mod examine;
mod known;
mod login;
mod lookup;
mod masters;
mod owners;
mod passwd_file;
mod password;
mod quota;
mod reading;
mod regexp_table;
mod relays;
mod resolve;
mod seed;
mod socketmap;
mod system;
mod table;
mod tables;
mod throttle;
mod tickets;
mod token;
mod trial;
mod verified;
mod verify;

pub use crate::changes::Changes;
pub use crate::cidr_table::CidrTable;
pub use crate::directory::{
    Directory, DirectoryError, HostedDomain, LoginNames, LoginSettings, Machine, Settings, Survey,
    Unavailable,
};
pub use crate::edit::EditError;
pub use crate::examine::{AccountLine, Examination, Verdict};
pub use crate::login::{Account, ClientFacts, Login, LoginError, Origin, Progress};
pub use crate::lookup::{Keys, Lookup, Meaning, Nearness, Sought};
pub use crate::password::{NEW_SCHEMES, hash_password};
pub use crate::quota::{Allowance, BadQuota, Difference, MailboxRule, QuotaRule, grace};
pub use crate::regexp_table::{BadRule, Match, RegexpTable};
pub use crate::relays::RelayDomain;
pub use crate::resolve::{Place, Reach, Resolution, Target};
pub use crate::socketmap::{Answer, Socketmap, SocketmapError, read_reply};
pub use crate::system::try_system_aliases;
pub use crate::table::{Answers, Question, Stop, TableSource, answered, is_table_type};
pub use crate::throttle::Guesses;
pub use crate::token::{TokenCheck, TokenError};
pub use crate::trial::{try_passwd_file, try_virtual_aliases};
