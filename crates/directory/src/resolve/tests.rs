//! What recipients stand for, as tables.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::aliases::Aliases;
use crate::lookup::Keys;
use crate::regexp_table::RegexpTable;
use crate::socketmap::Socketmap;
use crate::table::{Answers, Table};

const USERS: &str = "ann@example.org:{PLAIN}a\njoe@example.org:{PLAIN}b\neve@second.example:{PLAIN}c\n";
const ALIASES: &str = "\
sales@example.org ann@example.org, joe@elsewhere.example
all@example.org sales@example.org, joe@example.org
ann@example.org ann@example.org, copy@elsewhere.example
ring@example.org gnir@example.org
gnir@example.org ring@example.org
half@example.org flah@example.org
flah@example.org half@example.org, joe@example.org
@second.example eve@second.example
@old.example @example.org
dead@example.org nobody@example.org
";

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

/// What a test asks its questions of; the default has one table, [`ALIASES`].
struct Shelf {
    tables: Vec<Table<Aliases>>,
    answers: Answers,
    machine: Option<(Domain, SystemAliases)>,
    relays: Vec<(Domain, Option<Lines<Listed>>)>,
    owners: Lines<Owners>,
    delimiters: &'static str,
}

impl Default for Shelf {
    fn default() -> Self {
        let aliases = Aliases::parse(ALIASES, Some(&domain("example.org"))).unwrap();
        Self {
            tables: vec![Table::Plain(aliases)],
            answers: Answers::default(),
            machine: None,
            relays: Vec::new(),
            owners: Lines::default(),
            delimiters: "+",
        }
    }
}

impl Shelf {
    fn with(table: Table<Aliases>) -> Self {
        Self { tables: vec![table], ..Self::default() }
    }

    fn with_machine(aliases: &str) -> Self {
        let origin = domain("example.org");
        let aliases = SystemAliases::parse(aliases, &origin, &mut |path| Err(path.to_owned()));
        Self { machine: Some((origin, aliases)), ..Self::default() }
    }

    fn ask<T>(&self, question: impl FnOnce(&Book<'_>) -> T) -> T {
        let hosted = |name: &str, catch_all: Option<&str>| HostedDomain {
            name: domain(name),
            catch_all: catch_all.map(address),
        };
        let domains = [
            hosted("example.org", None),
            hosted("second.example", None),
            hosted("old.example", None),
            hosted("third.example", Some("joe@example.org")),
        ];
        let (hostname, accounts) = (domain("mail.example.org"), Accounts::parse(USERS, None).unwrap());
        let origin = Some(&domains[0].name);
        question(&Book {
            hostname: &hostname,
            domains: &domains,
            accounts: &accounts,
            tables: Tables { all: &self.tables, answers: &self.answers, origin },
            machine: self.machine.as_ref().map(|(origin, aliases)| (origin, aliases)),
            relays: &self.relays,
            owners: &self.owners,
            delimiters: self.delimiters,
        })
    }

    fn resolve(&self, path: &str) -> String {
        self.resolve_within(Reach::Everywhere, path)
    }

    fn resolve_within(&self, reach: Reach, path: &str) -> String {
        match self.ask(|book| book.resolve(&ForwardPath::parse(path).unwrap(), reach)) {
            Ok(Resolution::Targets(targets)) => {
                let show = |target: &Target| {
                    let owner = target.owner.as_ref().map(|owner| format!("({owner}) ")).unwrap_or_default();
                    match &target.place {
                        Place::Account(address) => format!("{owner}{address}"),
                        Place::Remote(address) => format!("{owner}-> {address}"),
                        Place::Nobody(address) => format!("{owner}nobody {address}"),
                    }
                };
                targets.iter().map(show).collect::<Vec<_>>().join(" ")
            }
            Ok(Resolution::Unknown) => "unknown".into(),
            Ok(Resolution::Elsewhere(address)) => format!("elsewhere {address}"),
            Ok(Resolution::Looping) => "looping".into(),
            Ok(Resolution::Unavailable) | Err(Stop::Unavailable) => "unavailable".into(),
            Err(Stop::Ask(question)) => format!("ask {question:?}"),
        }
    }

    #[track_caller]
    fn resolves(&self, cases: &[(&str, &str)]) {
        for (path, expected) in cases {
            assert_eq!(self.resolve(path), *expected, "{path}");
        }
    }
}

#[test]
fn recipients_resolve_by_one_table() {
    let cases = [
        ("joe@example.org", "joe@example.org"),
        ("JOE@Example.Org", "joe@example.org"),
        ("joe+list@example.org", "joe@example.org"),
        ("nobody@example.org", "unknown"),
        ("nobody+joe@example.org", "unknown"),
        ("joe@elsewhere.example", "elsewhere joe@elsewhere.example"),
        ("joe@mail.example.org", "elsewhere joe@mail.example.org"),
        ("joe@[192.0.2.1]", "elsewhere joe@[192.0.2.1]"),
        ("sales@example.org", "ann@example.org -> copy@elsewhere.example -> joe@elsewhere.example"),
        ("sales+Q3@example.org", "ann@example.org -> copy+Q3@elsewhere.example -> joe+Q3@elsewhere.example"),
        (
            "all@example.org",
            "ann@example.org -> copy@elsewhere.example -> joe@elsewhere.example joe@example.org",
        ),
        ("ring@example.org", "looping"),
        ("half@example.org", "joe@example.org"),
        ("dead@example.org", "unknown"),
        ("anybody@second.example", "eve@second.example"),
        ("eve@second.example", "eve@second.example"),
        ("joe@old.example", "joe@example.org"),
        ("joe+x@old.example", "joe@example.org"),
        ("nobody@old.example", "unknown"),
        ("anybody@third.example", "joe@example.org"),
        ("postmaster", "ann@example.org"),
        ("Postmaster@example.org", "ann@example.org"),
        ("abuse@second.example", "eve@second.example"),
        ("abuse@mail.example.org", "ann@example.org"),
        ("abuse@elsewhere.example", "elsewhere abuse@elsewhere.example"),
    ];
    Shelf::default().resolves(&cases);
}

#[test]
fn the_machines_own_users_are_known_under_its_names() {
    let shelf = Shelf::with_machine(
        "root: joe\npostmaster: root\nwww-data: root, ops@elsewhere.example\nann: ann, log\n",
    );
    shelf.resolves(&[
        ("root@example.org", "joe@example.org"),
        ("root@localhost", "joe@example.org"),
        ("Root@mail.example.org", "joe@example.org"),
        ("joe@localhost", "joe@example.org"),
        ("joe+x@mail.example.org", "joe@example.org"),
        ("www-data@localhost", "joe@example.org -> ops@elsewhere.example"),
        ("www-data+cron@localhost", "joe@example.org -> ops+cron@elsewhere.example"),
        ("postmaster", "joe@example.org"),
        ("nobody@localhost", "unknown"),
        ("www-data@second.example", "eve@second.example"),
        ("root@elsewhere.example", "elsewhere root@elsewhere.example"),
    ]);
}

#[test]
fn an_alias_that_cannot_be_served_puts_its_own_mail_off_and_dev_null_takes_all() {
    let shelf = Shelf::with_machine(
        "vacation: ann, \"|vacation ann\"\nlog: /var/log/mail\nbin: /dev/null\nrubbish: bin\nabuse: /dev/null\nops: joe, bin\n\
         list: vacation, joe\n",
    );
    shelf.resolves(&[
        ("vacation@localhost", "unavailable"),
        ("log+x@example.org", "unavailable"),
        ("list@localhost", "unavailable"),
        ("bin@localhost", ""),
        ("rubbish+tag@example.org", ""),
        ("abuse@example.org", ""),
        ("ops@localhost", "joe@example.org"),
        ("ann@example.org", "ann@example.org -> copy@elsewhere.example"),
        ("root@localhost", "ann@example.org"),
    ]);
}

#[test]
fn roots_mail_reaches_somebody_even_without_an_alias() {
    for aliases in ["", "postmaster: root\n", "root: nobody\n"] {
        let shelf = Shelf::with_machine(aliases);
        shelf.resolves(&[
            ("root@localhost", "ann@example.org"),
            ("postmaster@example.org", "ann@example.org"),
        ]);
    }
    Shelf::default()
        .resolves(&[("root@example.org", "unknown"), ("root@localhost", "elsewhere root@localhost")]);
}

#[test]
fn patterns_see_whole_addresses_and_strangers_write_no_targets() {
    let table = "/^list-(.*)@example\\.org$/ $1@lists.example\n/^(.*)@old\\.example$/ $1@example.org\n\
                 /^plain@/ joe\n/^broken@/ a@@b\n";
    let shelf = Shelf::with(Table::Regexp(RegexpTable::parse(table).unwrap()));
    shelf.resolves(&[
        ("list-dev@example.org", "-> dev@lists.example"),
        ("List-Dev@example.org", "-> Dev@lists.example"),
        ("joe+x@old.example", "joe@example.org"),
        ("plain@example.org", "joe@example.org"),
        ("broken@example.org", "unavailable"),
        ("joe@example.org", "joe@example.org"),
        ("\"list-a@evil.example, b\"@example.org", "unknown"),
        ("list-dev@elsewhere.example", "elsewhere list-dev@elsewhere.example"),
    ]);
}

#[test]
fn another_program_is_asked_key_by_key_and_nobody_is_refused_meanwhile() {
    let mut shelf = Shelf::with(Table::Socketmap(Socketmap::parse("unix:/run/x:virtual").unwrap()));
    let path = ForwardPath::parse("Info+x@example.org").unwrap();
    let mut asked = Vec::new();
    let found = loop {
        match shelf.ask(|book| book.resolve(&path, Reach::Everywhere)) {
            Ok(resolution) => break resolution,
            Err(Stop::Ask(question)) => {
                let text = format!("{question:?}");
                let answer = text.contains("\"info@example.org\"").then(|| "joe, @second.example".to_owned());
                shelf.answers.insert(question, answer);
                asked.push(text);
            }
            Err(Stop::Unavailable) => panic!("unavailable"),
        }
    };
    let eve = Place::Remote(address("info+x@elsewhere.example")).into();
    assert!(matches!(found, Resolution::Targets(targets) if !targets.contains(&eve)));
    assert!(asked[0].contains("info+x@example.org") && asked[1].contains("info@example.org"), "{asked:?}");
}

#[test]
fn a_relay_domain_knows_its_recipients_or_takes_all() {
    let list = Lines::of(Keys::Address, "ann@behind.example x\n");
    let relays = vec![(domain("behind.example"), Some(list)), (domain("open.example"), None)];
    Shelf { relays, ..Shelf::default() }.resolves(&[
        ("Ann@behind.example", "-> Ann@behind.example"),
        ("ann+x@behind.example", "-> ann+x@behind.example"),
        ("bob@behind.example", "unknown"),
        ("Postmaster@behind.example", "-> Postmaster@behind.example"),
        ("postmaster@elsewhere.example", "elsewhere postmaster@elsewhere.example"),
        ("any@open.example", "-> any@open.example"),
        ("any@sub.open.example", "elsewhere any@sub.open.example"),
    ]);
}

/// Postfix's `virtual_alias_maps`, which act for every recipient, whatever its class.
#[test]
fn aliases_act_for_relay_domains_and_for_all_others() {
    let table = "moved@behind.example ann@example.org\nbob@behind.example bob@behind.example, joe@example.org\n\
                 @gone.example ann@example.org\n@renamed.example @example.org\n\
                 boss@partner.example joe@example.org, eve@far.example\neve@far.example eve@home.example\n\
                 team@example.org boss@partner.example, ann@example.org\n\
                 one@far.example two@far.example\ntwo@far.example one@far.example\n\
                 lost@far.example nobody@example.org\njoe@mail.example.org joe@example.org\n";
    let list = Lines::of(Keys::Address, "ann@behind.example x\n");
    let relays = vec![
        (domain("behind.example"), Some(list)),
        (domain("gone.example"), Some(Lines::default())),
        (domain("open.example"), None),
    ];
    let aliases = Aliases::parse(table, Some(&domain("example.org"))).unwrap();
    let shelf = Shelf { relays, ..Shelf::with(Table::Plain(aliases)) };
    let ours = [
        // An alias makes a recipient that is in no list.
        ("Moved@behind.example", "ann@example.org"),
        ("moved+x@behind.example", "ann@example.org"),
        ("bob@behind.example", "-> bob@behind.example joe@example.org"),
        ("ann@behind.example", "-> ann@behind.example"),
        ("eve@behind.example", "unknown"),
        ("anybody@gone.example", "ann@example.org"),
        ("postmaster@gone.example", "ann@example.org"),
        ("any@open.example", "-> any@open.example"),
        ("joe@mail.example.org", "joe@example.org"),
        // A target beyond has aliases, too.
        ("team@example.org", "joe@example.org -> eve@home.example ann@example.org"),
    ];
    let beyond = [
        ("Boss@partner.example", "joe@example.org -> eve@home.example"),
        ("boss+x@partner.example", "joe@example.org -> eve+x@home.example"),
        ("joe@renamed.example", "joe@example.org"),
        ("one@far.example", "-> one@far.example"),
        ("lost@far.example", "unknown"),
    ];
    let plain =
        [("joe@far.example", "elsewhere joe@far.example"), ("joe@[192.0.2.1]", "elsewhere joe@[192.0.2.1]")];
    shelf.resolves(&[&ours[..], &beyond, &plain].concat());
    for (path, expected) in ours.into_iter().chain(plain) {
        assert_eq!(shelf.resolve_within(Reach::Ours, path), expected, "{path}");
    }
    for (path, _) in beyond {
        let found = shelf.resolve_within(Reach::Ours, path);
        assert!(found.starts_with("elsewhere "), "a stranger is told of {path}: {found}");
    }
    let (joe, boss) = (address("joe@example.org"), address("boss@partner.example"));
    assert_eq!(shelf.ask(|book| book.may_send_as(&joe, &boss)), Ok(false));
}

#[test]
fn no_program_is_asked_about_what_strangers_may_not_send_to() {
    let shelf = Shelf::with(Table::Socketmap(Socketmap::parse("unix:/run/x:virtual").unwrap()));
    let within = |reach| shelf.resolve_within(reach, "joe@far.example");
    assert_eq!(within(Reach::Ours), "elsewhere joe@far.example");
    assert!(within(Reach::Everywhere).starts_with("ask "));
}

#[test]
fn tags_begin_where_the_config_says() {
    let minus = Shelf { delimiters: "-+", ..Shelf::default() };
    minus.resolves(&[("joe-x@example.org", "joe@example.org"), ("joe+x@example.org", "joe@example.org")]);
    let none = Shelf { delimiters: "", ..Shelf::default() };
    none.resolves(&[("joe+x@example.org", "unknown"), ("joe@example.org", "joe@example.org")]);
}

#[test]
fn mail_of_a_list_is_its_owners_where_the_list_has_one() {
    let lists = "list@example.org ann@example.org, joe@elsewhere.example\nowner-list@example.org joe@example.org\n\
                 all@example.org list@example.org, joe@example.org\nplain@example.org ann@example.org\n\
                 owner-owner-list@example.org ann@example.org\n@second.example ann@example.org\n";
    let aliases = || Table::Plain(Aliases::parse(lists, Some(&domain("example.org"))).unwrap());
    let members =
        "(owner-list@example.org) ann@example.org (owner-list@example.org) -> joe@elsewhere.example";
    let cases = [
        ("List@example.org", members),
        ("all@example.org", &format!("{members} joe@example.org")),
        ("plain@example.org", "ann@example.org"),
        ("owner-list@example.org", "joe@example.org"),
        // A catch-all that would take mail for an owner makes none.
        ("list@second.example", "ann@example.org"),
        ("ann@example.org", "ann@example.org"),
    ];
    Shelf::with(aliases()).resolves(&cases);
    let tagged = [
        (
            "list-x@example.org",
            "(owner-list@example.org) ann@example.org (owner-list@example.org) -> joe-x@elsewhere.example",
        ),
        ("owner-list@example.org", "joe@example.org"),
        ("joe-request@example.org", "unknown"),
        ("joe-x@example.org", "joe@example.org"),
    ];
    Shelf { delimiters: "-", ..Shelf::with(aliases()) }.resolves(&tagged);
}

#[test]
fn a_target_that_is_nobodys_is_told_beside_the_others_and_an_alias_of_such_alone_is_unknown() {
    let lists = "ml@example.org ann@example.org, gone@example.org\nowner-ml@example.org joe@example.org\n\
                 far@example.org joe@elsewhere.example, Gone+x@example.org\n\
                 all@example.org ml@example.org, far@example.org, gone@example.org\n\
                 dead@example.org gone@example.org, left@example.org, gone@example.org\n\
                 deep@example.org dead@example.org, joe@example.org\n@second.example ann@example.org, gone@example.org\n";
    let aliases = Table::Plain(Aliases::parse(lists, Some(&domain("example.org"))).unwrap());
    Shelf::with(aliases).resolves(&[
        (
            "ml@example.org",
            "(owner-ml@example.org) ann@example.org (owner-ml@example.org) nobody gone@example.org",
        ),
        ("far@example.org", "-> joe@elsewhere.example nobody gone+x@example.org"),
        (
            "all@example.org",
            "(owner-ml@example.org) ann@example.org -> joe@elsewhere.example \
             (owner-ml@example.org) nobody gone@example.org nobody gone+x@example.org",
        ),
        ("dead@example.org", "unknown"),
        ("deep@example.org", "joe@example.org nobody gone@example.org nobody left@example.org"),
        ("any@second.example", "ann@example.org nobody gone@example.org"),
        ("gone@example.org", "unknown"),
    ]);
    let machine = Shelf::with_machine("root: joe, gone\nbin: /dev/null\nlog: bin, gone\npostmaster: gone\n");
    machine.resolves(&[
        ("root@localhost", "joe@example.org nobody gone@example.org"),
        ("log@example.org", "nobody gone@example.org"),
        ("postmaster", "ann@example.org"),
    ]);
}

#[test]
fn an_account_writes_as_itself_and_as_its_aliases() {
    let cases = [
        ("joe@example.org", "joe@example.org", true),
        ("joe@example.org", "Joe+shop@example.org", true),
        ("joe@example.org", "all@example.org", true),
        ("ann@example.org", "sales@example.org", true),
        ("joe@example.org", "sales@example.org", false),
        ("joe@example.org", "ann@example.org", false),
        ("joe@example.org", "joe@elsewhere.example", false),
        ("joe@example.org", "joe@old.example", true),
        ("joe@example.org", "any@third.example", true),
        ("joe@example.org", "nobody@example.org", false),
    ];
    for (account, from, expected) in cases {
        let (account, from) = (address(account), address(from));
        let may = Shelf::default().ask(|book| book.may_send_as(&account, &from));
        assert_eq!(may, Ok(expected), "{account} as {from}");
    }
}

#[test]
fn a_table_of_logins_decides_for_the_addresses_that_it_knows() {
    let table = "ann@example.org joe@example.org\nboss@partner.example Joe@example.org, ann@example.org\n\
                 @second.example eve@second.example ann@example.org\n";
    let shelf = Shelf { owners: Lines::of(Keys::Address, table), ..Shelf::default() };
    for (account, from, expected) in [
        ("joe@example.org", "Ann+x@example.org", true),
        // Not even who has the mailbox, where somebody else is named.
        ("ann@example.org", "ann@example.org", false),
        ("ann@example.org", "boss@partner.example", true),
        ("joe@example.org", "boss@partner.example", true),
        ("eve@second.example", "boss@partner.example", false),
        ("ann@example.org", "anybody@second.example", true),
        ("joe@example.org", "anybody@second.example", false),
        // What it does not know is as ever.
        ("joe@example.org", "joe@example.org", true),
        ("joe@example.org", "all@example.org", true),
        ("joe@example.org", "joe@elsewhere.example", false),
    ] {
        let (account, from) = (address(account), address(from));
        assert_eq!(shelf.ask(|book| book.may_send_as(&account, &from)), Ok(expected), "{account} as {from}");
    }
}

#[test]
fn a_long_chain_or_a_wide_alias_is_a_fault_not_a_flood() {
    use std::fmt::Write;
    let mut text = String::new();
    for step in 0..100 {
        writeln!(text, "c{step}@example.org c{}@example.org", step + 1).unwrap();
    }
    let wide: Vec<String> = (0..1_001).map(|n| format!("u{n}@elsewhere.example")).collect();
    writeln!(text, "wide@example.org {}", wide.join(", ")).unwrap();
    let aliases = Aliases::parse(&text, Some(&domain("example.org"))).unwrap();
    let shelf = Shelf::with(Table::Plain(aliases));
    shelf.resolves(&[("c0@example.org", "looping"), ("wide@example.org", "looping")]);
}
