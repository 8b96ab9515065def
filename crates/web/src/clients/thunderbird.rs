//! Thunderbird's `config-v1.1.xml`, which other programs read as well.

use super::{Protocol, Server, Servers, escaped};

/// The document for a domain. It names no person: the program puts its user's address in.
pub(crate) fn config(servers: &Servers, domain: &str) -> String {
    let domain = escaped(domain);
    let list: String = servers.all().map(|server| element(servers, server)).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<clientConfig version=\"1.1\">\n  <emailProvider id=\"{domain}\">\n    \
<domain>{domain}</domain>\n    <displayName>{domain}</displayName>\n    <displayShortName>{domain}</displayShortName>\n\
{list}  </emailProvider>\n</clientConfig>\n"
    )
}

fn element(servers: &Servers, server: Server) -> String {
    let (element, kind) = match server.protocol {
        Protocol::Imap => ("incomingServer", "imap"),
        Protocol::Pop3 => ("incomingServer", "pop3"),
        Protocol::Submission => ("outgoingServer", "smtp"),
    };
    let socket = if server.tls_at_once { "SSL" } else { "STARTTLS" };
    format!(
        "    <{element} type=\"{kind}\">\n      <hostname>{}</hostname>\n      <port>{}</port>\n      <socketType>{socket}</socketType>\n      \
<authentication>password-cleartext</authentication>\n      <username>%EMAILADDRESS%</username>\n    </{element}>\n",
        servers.hostname, server.port
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::servers;
    use super::*;

    #[test]
    fn each_server_that_runs_is_there_best_first_and_no_other() {
        let text = config(&servers(), "example.org");
        let ports: Vec<&str> =
            text.split("<port>").skip(1).map(|rest| rest.split('<').next().unwrap_or_default()).collect();
        assert_eq!(ports, ["993", "110", "465", "587"]);
        assert_eq!(text.matches("<socketType>SSL<").count(), 2);
        assert_eq!(text.matches("<socketType>STARTTLS<").count(), 2);
        assert_eq!(text.matches("%EMAILADDRESS%").count(), 4);
        assert!(text.contains("<emailProvider id=\"example.org\">"), "{text}");
    }
}
