//! What Amazon's services have in common: who we are there, signatures, and the XML of their answers.

mod credentials;
pub(crate) mod sigv4;
pub(crate) mod xml;

pub use self::credentials::{Environment, Keys, read_credentials};
pub use self::sigv4::AwsKey;
pub use self::xml::text as xml_text;
