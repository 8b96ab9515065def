//! What the machine's users may see of the queue and do to it: `[local] may_list_queue` and `may_flush_queue`.

use crate::control::Caller;

/// Where those who are neither root nor the server's own user ask about the queue; in the folder for local mail.
pub(crate) const SOCKET: &str = "queue";

/// Who may do what; root and the server's own user may do all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueueRights {
    /// `mailq` (Postfix's `authorized_mailq_users`).
    pub(crate) list: Users,
    /// `sendmail -q` (Postfix's `authorized_flush_users`).
    pub(crate) flush: Users,
}

/// Some users of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Users {
    /// Postfix's `static:anyone`.
    #[default]
    All,
    Named(Vec<String>),
}

impl Users {
    /// Those of a list in the config, where `*` stands for all.
    pub(crate) fn named(names: Vec<String>) -> Self {
        if names.iter().any(|name| name == "*") { Self::All } else { Self::Named(names) }
    }

    /// Whether whoever asks is one of them.
    pub(crate) async fn include(&self, caller: Caller) -> bool {
        match self {
            Self::All => true,
            Self::Named(_) if caller.is_root() || caller == Caller::this() => true,
            Self::Named(names) => {
                super::user(caller.uid()).await.is_some_and(|user| names.contains(&user.name))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn root_is_always_among_them_and_others_where_they_are_named() {
        let names = |names: &[&str]| Users::named(names.iter().map(|&name| name.to_owned()).collect());
        let (root, nobody) = (Caller::new(0), Caller::new(65_534));
        for (users, nobody_may) in [
            (names(&["*"]), true),
            (names(&["nobody"]), true),
            (names(&["www-data"]), false),
            (names(&[]), false),
        ] {
            assert!(users.include(root).await, "{users:?}");
            assert_eq!(users.include(nobody).await, nobody_may, "{users:?}");
        }
    }
}
