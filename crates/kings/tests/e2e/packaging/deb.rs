//! The Debian package and `install.sh`, on a copy of this machine that ends with the test: an overlay over its root.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::{KINGS, packaging};
use crate::harness::{Folder, Output, program, rooted, run};

/// The package of the program under test, built once for all tests of this process.
fn package() -> &'static PathBuf {
    static BUILT: OnceLock<(Folder, PathBuf)> = OnceLock::new();
    let (_, path) = BUILT.get_or_init(|| {
        let folder = Folder::new("deb");
        let output = build(&folder).succeeded();
        let path = PathBuf::from(output.text().lines().last().expect("the path of the package"));
        (folder, path)
    });
    path
}

fn build(folder: &Folder) -> Output {
    let mut build = Command::new(packaging("build-deb.sh"));
    build
        .env("SOURCE_DATE_EPOCH", "1790000000")
        .args(["--level", "0", "--binary", KINGS, "--output"])
        .arg(folder.path());
    run(&mut build)
}

/// Runs `script` as root on a copy of this machine; the package is `$deb`, these sources are in `/sources`.
fn on_a_copy(script: &str) -> Output {
    let folder = Folder::new("copy");
    folder.create("copy");
    let sources = packaging("..").canonicalize().unwrap();
    let outside = format!(
        "mount -t tmpfs -o size=2g tmpfs copy
mkdir copy/up copy/work copy/root
mount -t overlay overlay -o lowerdir=/,upperdir=copy/up,workdir=copy/work copy/root
mount --rbind /proc copy/root/proc
mount --rbind /dev copy/root/dev
mount -t tmpfs tmpfs copy/root/run
mkdir copy/root/sources
cp -r {sources}/install.sh {sources}/Cargo.toml {sources}/packaging copy/root/sources/
cp {package} copy/root/sources/kings.deb
exec chroot copy/root /bin/sh -e -c \"$inside\"
",
        sources = sources.display(),
        package = package().display(),
    );
    let inside = format!(
        "cd /sources; deb=/sources/kings.deb; export LC_ALL=C HOME=/root DEBIAN_FRONTEND=noninteractive\n{script}"
    );
    let mut shell = rooted("/usr/bin/env");
    shell.arg(format!("inside={inside}")).args(["unshare", "--mount", "/bin/sh", "-e", "-c", &outside]);
    run(shell.current_dir(folder.path()))
}

#[test]
fn lintian_has_nothing_to_say_about_the_package_and_the_same_sources_make_the_same_one() {
    let mut lintian = program("lintian");
    lintian.args(["--allow-root", "--fail-on", "error,warning"]).arg(package());
    let output = run(&mut lintian).succeeded();
    assert_eq!(output.text(), "");
    let again = Folder::new("deb");
    build(&again).succeeded();
    let name = package().file_name().unwrap();
    assert!(std::fs::read(package()).unwrap() == std::fs::read(again.path().join(name)).unwrap());
}

#[test]
fn the_package_is_installed_listens_to_nobody_and_leaves_mail_when_it_goes() {
    let output = on_a_copy(
        r#"
dpkg --install $deb
echo == installed
readlink -f /usr/sbin/sendmail /usr/lib/sendmail /usr/bin/mailq /usr/bin/newaliases
stat -c '%A %U %n' /var/lib/kings-smtp /var/mail/vmail /var/spool/kings-smtp /var/spool/kings-smtp/drop
ls /etc/kings-smtp | wc -l
systemctl is-enabled kings-smtp
systemctl is-enabled kings-smtp-firewall || :
grep ConditionPathExists /lib/systemd/system/kings-smtp.service
for page in 1/kings 1/kings-queue-list 5/kings.toml 8/sendmail 1/mailq; do gzip -t /usr/share/man/man$page.${page%%/*}.gz; done
kings --version
echo == removed
echo 'hostname = "mail.example.org"' > /etc/kings-smtp/kings.toml
echo mail > /var/mail/vmail/letter
dpkg --install $deb
dpkg --remove kings-smtp
cat /etc/kings-smtp/kings.toml /var/mail/vmail/letter
ls /usr/bin/kings /usr/sbin/sendmail 2>&1 || :
echo == purged
dpkg --purge kings-smtp
cat /etc/kings-smtp/kings.toml /var/mail/vmail/letter
ls -d /var/spool/kings-smtp 2>&1 || :
"#,
    )
    .succeeded();
    let text = output.text();
    let part = |name: &str| {
        text.split(&format!("== {name}\n")).nth(1).unwrap().split("== ").next().unwrap().to_owned()
    };
    assert!(text.contains("nothing listens yet. Next:  sudo kings setup you@example.org"), "{output}");
    // The mark of Debian's /var/mail, that files belong to its group, is inherited.
    let installed = part("installed").replace("drwxr-s---", "drwxr-x---");
    let expected = format!(
        "/usr/bin/kings\n/usr/bin/kings\n/usr/bin/kings\n/usr/bin/kings\n\
         drwxr-x--- kings /var/lib/kings-smtp\ndrwxr-x--- kings /var/mail/vmail\ndrwxr-xr-x kings /var/spool/kings-smtp\n\
         drwx-ws-wt kings /var/spool/kings-smtp/drop\n0\nenabled\ndisabled\n\
         ConditionPathExists=/etc/kings-smtp/kings.toml\nkings {}\n",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(installed, expected, "{output}");
    let removed = part("removed");
    assert!(!removed.contains("nothing listens yet"), "{removed}");
    assert!(
        removed.contains("hostname = \"mail.example.org\"\nmail\n")
            && removed.contains("cannot access '/usr/bin/kings'"),
        "{removed}"
    );
    let purged = part("purged");
    assert!(purged.contains("/var/mail/vmail is kept: it holds mail"), "{purged}");
    assert!(purged.contains("hostname = \"mail.example.org\"\nmail\n"), "{purged}");
    assert!(purged.contains("cannot access '/var/spool/kings-smtp'"), "{purged}");
}

#[test]
fn install_sh_says_what_it_would_do_does_it_once_and_then_finds_it_done() {
    let output = on_a_copy(
        r"
./install.sh --dry-run --deb $deb you@example.org -- --yes
[ ! -e /usr/bin/kings ]
echo == once
./install.sh --yes --deb $deb --no-setup
kings --version
echo == twice
./install.sh --yes --deb $deb --no-setup
echo == building
PATH=/usr/sbin:/usr/bin:/sbin:/bin ./install.sh --dry-run --no-setup
echo == refused
for wrong in '' '--deb' 'ann' '--what you@example.org' 'you@example.org joe@example.org'; do
    code=0
    ./install.sh $wrong 2> /dev/null || code=$?
    echo $code
done
./install.sh --deb nowhere.deb --no-setup 2>&1 || :
",
    )
    .succeeded();
    let text = output.text();
    let parts: Vec<&str> = text.split("== ").collect();
    let [dry, once, twice, building, refused] = parts.as_slice() else { panic!("{output}") };
    assert!(
        dry.contains("would run: kings setup you@example.org --yes") && dry.contains("install -y"),
        "{dry}"
    );
    assert!(once.contains(&format!("kings {}\n", env!("CARGO_PKG_VERSION"))), "{once}");
    assert!(twice.contains("this package is installed already") && !twice.contains("Unpacking"), "{twice}");
    assert!(building.contains("would run: cargo build --release --locked --package kings"), "{building}");
    assert_eq!(*refused, "refused\n2\n2\n2\n2\n2\ninstall: there is no package nowhere.deb\n", "{output}");
}

/// A release runs on machines whose glibc is older than that of the machine that built it.
#[test]
fn a_symbol_that_is_too_new_for_an_old_machine_is_named() {
    let check = |version: &str| run(Command::new(packaging("check-glibc.sh")).args([KINGS, version]));
    check("2.99").succeeded().says("needs nothing newer than GLIBC_2.99");
    check("2.16").failed().says("needs GLIBC_2.");
    run(Command::new(packaging("check-glibc.sh")).arg(packaging("check-glibc.sh")).arg("2.35"))
        .failed()
        .says("has no symbol of glibc");
}
