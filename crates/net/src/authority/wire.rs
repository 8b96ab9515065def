//! Between the records of the library and ours.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CAA, CNAME, MX, NS, PTR, SRV, TLSA, TXT};
use hickory_proto::rr::{Name, RData, RecordType};
use kings_dns::{Caa, Data, Kind, Mx, Srv, Tlsa, Txt};
use kings_mail::domain::{BadDomain, DnsName};

use super::Told;

pub(super) fn record_type(kind: Kind) -> RecordType {
    match kind {
        Kind::A => RecordType::A,
        Kind::Aaaa => RecordType::AAAA,
        Kind::Caa => RecordType::CAA,
        Kind::Cname => RecordType::CNAME,
        Kind::Mx => RecordType::MX,
        Kind::Ns => RecordType::NS,
        Kind::Ptr => RecordType::PTR,
        Kind::Srv => RecordType::SRV,
        Kind::Tlsa => RecordType::TLSA,
        Kind::Txt => RecordType::TXT,
    }
}

/// The labels as they stand (RFC 2181 §11).
pub(super) fn on_the_wire(name: &DnsName) -> Option<Name> {
    let mut name = Name::from_labels(name.as_str().split('.').map(str::as_bytes)).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// A name of ours; `None` for one that we would not write.
pub(super) fn name(name: &Name) -> Option<DnsName> {
    DnsName::parse(&name.to_ascii()).ok()
}

pub(super) fn is(found: &Name, name: &DnsName) -> bool {
    self::name(found).as_ref() == Some(name)
}

/// A host; `None` is the root.
fn host(name: &Name) -> Result<Option<DnsName>, BadDomain> {
    if name.is_root() { Ok(None) } else { DnsName::parse(&name.to_ascii()).map(Some) }
}

/// `None` for what we have no words for.
pub(super) fn data(found: &RData) -> Option<Data> {
    Some(match found {
        RData::A(ip) => Data::A(ip.0),
        RData::AAAA(ip) => Data::Aaaa(ip.0),
        RData::CAA(caa) => {
            Data::Caa(Caa { flags: caa.flags(), tag: caa.tag.to_ascii_lowercase(), value: caa.value.clone() })
        }
        RData::CNAME(target) => Data::Cname(name(&target.0)?),
        RData::MX(mx) => Data::Mx(Mx { preference: mx.preference, exchange: host(&mx.exchange).ok()? }),
        RData::NS(server) => Data::Ns(name(&server.0)?),
        RData::PTR(target) => Data::Ptr(name(&target.0)?),
        RData::SRV(srv) => Data::Srv(Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: host(&srv.target).ok()?,
        }),
        RData::TLSA(tlsa) => Data::Tlsa(Tlsa {
            usage: tlsa.cert_usage.into(),
            selector: tlsa.selector.into(),
            matching: tlsa.matching.into(),
            data: tlsa.cert_data.clone(),
        }),
        RData::TXT(text) => {
            Data::Txt(Txt { strings: text.txt_data.iter().map(|string| string.to_vec()).collect() })
        }
        _ => return None,
    })
}

/// `None` for names that no message can hold.
pub(super) fn rdata(data: &Data) -> Option<RData> {
    let host = |name: &Option<DnsName>| name.as_ref().map_or(Some(Name::root()), on_the_wire);
    Some(match data {
        Data::A(ip) => RData::A(A(*ip)),
        Data::Aaaa(ip) => RData::AAAA(AAAA(*ip)),
        Data::Caa(Caa { flags, tag, value }) => {
            let mut caa = CAA::new_issue(flags & 0x80 != 0, None, Vec::new());
            caa.reserved_flags = flags & 0x7f;
            caa.tag.clone_from(tag);
            caa.value.clone_from(value);
            RData::CAA(caa)
        }
        Data::Cname(name) => RData::CNAME(CNAME(on_the_wire(name)?)),
        Data::Mx(Mx { preference, exchange }) => RData::MX(MX::new(*preference, host(exchange)?)),
        Data::Ns(name) => RData::NS(NS(on_the_wire(name)?)),
        Data::Ptr(name) => RData::PTR(PTR(on_the_wire(name)?)),
        Data::Srv(Srv { priority, weight, port, target }) => {
            RData::SRV(SRV::new(*priority, *weight, *port, host(target)?))
        }
        Data::Tlsa(Tlsa { usage, selector, matching, data }) => {
            RData::TLSA(TLSA::new((*usage).into(), (*selector).into(), (*matching).into(), data.clone()))
        }
        Data::Txt(text) => RData::TXT(TXT::from_bytes(text.strings.iter().map(Vec::as_slice).collect())),
    })
}

/// What an answer says about a name and type. A server that sends us elsewhere does not know the zone.
pub(super) fn told(answer: &Message, asked: &DnsName, kind: Kind) -> Told {
    let metadata = &answer.metadata;
    match metadata.response_code {
        ResponseCode::NoError => {}
        ResponseCode::NXDomain if metadata.authoritative => return Told::NoName,
        code => return Told::Silent(format!("{code}")),
    }
    if !metadata.authoritative {
        return Told::Silent("it does not serve this zone".to_owned());
    }
    let own = answer.answers.iter().filter(|record| is(&record.name, asked));
    let of_kind: Vec<_> = own.clone().filter(|record| record.record_type() == record_type(kind)).collect();
    if of_kind.is_empty() {
        let mut aliases = own.filter_map(|record| match &record.data {
            RData::CNAME(target) => name(&target.0),
            _ => None,
        });
        return aliases.next().map_or(Told::Nothing, Told::Alias);
    }
    let found: Vec<Data> = of_kind.iter().filter_map(|record| data(&record.data)).collect();
    let ttl = of_kind.iter().map(|record| record.ttl).min().unwrap_or_default();
    Told::Records { odd: of_kind.len() - found.len(), data: found, ttl }
}
