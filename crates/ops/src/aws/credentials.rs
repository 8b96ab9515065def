//! Who we are at Amazon: a file of the config, the environment, the file of the AWS CLI, or the role that the machine has.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kings_dns::ProviderError;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::sigv4::AwsKey;
use crate::machine::role_key;

/// How long a key is believed before it is looked for again: what a role lends is changed some minutes before it ends.
const KEPT: Duration = Duration::from_mins(1);
/// The profile where none is named.
const DEFAULT: &str = "default";
/// What mends it where there is no key at all.
const NO_KEY: &str = "there is no key for Amazon: name a file with credentials_file in [dns] provider, put AWS_ACCESS_KEY_ID and \
                      AWS_SECRET_ACCESS_KEY into the environment, or give the machine a role";

/// What the environment of the process says, in the words of the AWS CLI.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`.
    pub key: Option<AwsKey>,
    /// `AWS_SHARED_CREDENTIALS_FILE`, or `.aws/credentials` in the home folder.
    pub shared_file: Option<PathBuf>,
    /// `AWS_PROFILE`
    pub profile: Option<String>,
}

/// Where the key comes from: the first of these that has one. Clones share what was found.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// A file as the AWS CLI has it, named by the config: then nothing else counts.
    pub file: Option<PathBuf>,
    /// The profile in the file, where the config names one.
    pub profile: Option<String>,
    /// What the environment says.
    pub environment: Environment,
    /// Where the machine asks about itself, in the place of Amazon's address.
    pub metadata: Option<String>,
    /// What was found last, and when.
    pub found: Arc<Mutex<Option<(Instant, AwsKey)>>>,
}

impl Keys {
    /// With the key of a file read now and kept: for whoever will not be allowed to read it later.
    ///
    /// # Errors
    /// A file that is named, or is there, and cannot be read or has no key.
    pub fn held(mut self) -> Result<Self, ProviderError> {
        let shared = || {
            let unneeded = self.environment.key.is_some();
            self.environment.shared_file.clone().filter(|file| !unneeded && file.exists())
        };
        if let Some(file) = self.file.clone().or_else(shared) {
            let key = of_file(&file, self.profile())?;
            (self.file, self.environment.key) = (None, Some(key));
        }
        Ok(self)
    }

    fn profile(&self) -> &str {
        self.profile.as_deref().or(self.environment.profile.as_deref()).unwrap_or(DEFAULT)
    }

    /// The key of now.
    pub(crate) async fn get(&self) -> Result<AwsKey, ProviderError> {
        let mut found = self.found.lock().await;
        if let Some((_, key)) = found.as_ref().filter(|(at, _)| at.elapsed() < KEPT) {
            return Ok(key.clone());
        }
        let key = self.look().await?;
        *found = Some((Instant::now(), key.clone()));
        Ok(key)
    }

    async fn look(&self) -> Result<AwsKey, ProviderError> {
        let profile = self.profile();
        if let Some(file) = &self.file {
            return of_file(file, profile);
        }
        if let Some(key) = &self.environment.key {
            return Ok(key.clone());
        }
        if let Some(file) = self.environment.shared_file.as_deref().filter(|file| file.exists()) {
            return of_file(file, profile);
        }
        let lent = role_key(self.metadata.as_deref()).await;
        let lent = lent.ok_or_else(|| ProviderError::Refused(NO_KEY.to_owned()))?;
        of_role(&lent)
            .ok_or_else(|| ProviderError::Refused("the role of this machine lends no key".to_owned()))
    }
}

fn of_file(path: &Path, profile: &str) -> Result<AwsKey, ProviderError> {
    let place = path.display();
    let text = fs::read_to_string(path).map_err(|error| {
        let hint = if error.kind() == io::ErrorKind::PermissionDenied {
            "; the server reads it as its own user"
        } else {
            ""
        };
        ProviderError::Refused(format!("cannot read {place}: {error}{hint}"))
    })?;
    read_credentials(&text, profile).ok_or_else(|| {
        let text = format!("{place} has no aws_access_key_id with aws_secret_access_key under [{profile}]");
        ProviderError::Refused(text)
    })
}

/// The key of one profile in an INI file.
pub fn read_credentials(text: &str, profile: &str) -> Option<AwsKey> {
    let mut is_ours = false;
    let (mut id, mut secret, mut session) = (None, None, None);
    for line in text.lines().map(str::trim) {
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = line.strip_prefix('[') {
            let name = section.split(']').next().unwrap_or_default().trim();
            is_ours =
                name == profile || name.strip_prefix("profile ").is_some_and(|name| name.trim() == profile);
            continue;
        }
        let Some((name, value)) = line.split_once('=').filter(|_| is_ours) else { continue };
        let value = Some(value.trim().to_owned()).filter(|value| is_token(value));
        match name.trim() {
            "aws_access_key_id" => id = value,
            "aws_secret_access_key" => secret = value,
            "aws_session_token" => session = value,
            _ => {}
        }
    }
    Some(AwsKey { id: id?, secret: secret?, session })
}

/// Printable and in one piece: it becomes part of a header field.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_graphic())
}

/// What the metadata service says of a role.
fn of_role(text: &str) -> Option<AwsKey> {
    let value: Value = serde_json::from_str(text).ok()?;
    let field = |name: &str| value[name].as_str().filter(|text| is_token(text)).map(str::to_owned);
    Some(AwsKey {
        id: field("AccessKeyId")?,
        secret: field("SecretAccessKey")?,
        session: Some(field("Token")?),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn key(id: &str, secret: &str, session: Option<&str>) -> AwsKey {
        AwsKey { id: id.to_owned(), secret: secret.to_owned(), session: session.map(str::to_owned) }
    }

    #[tokio::test]
    async fn a_key_that_is_held_outlives_its_file_and_comes_from_no_other_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("credentials");
        let text = "[default]\naws_access_key_id = AKID\naws_secret_access_key = S\n";
        fs::write(&file, text).unwrap();
        let shared = Environment { shared_file: Some(file.clone()), ..Environment::default() };
        let sources = [
            Keys { file: Some(file.clone()), ..Keys::default() },
            Keys { environment: shared, ..Keys::default() },
        ];
        let held = sources.clone().map(|keys| keys.held().unwrap());
        fs::remove_file(&file).unwrap();
        for keys in held {
            assert_eq!(keys.get().await.unwrap(), key("AKID", "S", None));
        }
        let [named, _] = sources;
        assert!(named.held().is_err(), "a file that is named must be there");
        let own = Environment { key: Some(key("E", "F", None)), ..Environment::default() };
        let own = Keys { environment: own, ..Keys::default() }.held().unwrap();
        assert_eq!(own.get().await.unwrap(), key("E", "F", None));
    }

    #[test]
    fn the_key_of_one_profile_is_read_and_no_other() {
        let text = "[other]\naws_access_key_id = X\naws_secret_access_key = Y\n\n[default]\n# aws_access_key_id = OLD\n\
                    aws_access_key_id = AKID\naws_secret_access_key= s3cr=t/+\nregion = us-east-1\n[profile mail]\n\
                    aws_access_key_id=M\naws_secret_access_key=N\naws_session_token=T==\n";
        assert_eq!(read_credentials(text, "default"), Some(key("AKID", "s3cr=t/+", None)));
        assert_eq!(read_credentials(text, "mail"), Some(key("M", "N", Some("T=="))));
        for (text, profile) in [
            (text, "nobody"),
            ("[default]\naws_access_key_id = X\n", "default"),
            ("[default]\naws_access_key_id = X\naws_secret_access_key =\n", "default"),
            ("[default]\naws_access_key_id = X\naws_secret_access_key = a b\n", "default"),
            ("aws_access_key_id = X\naws_secret_access_key = Y\n", "default"),
        ] {
            assert_eq!(read_credentials(text, profile), None, "{text}");
        }
    }

    #[test]
    fn a_role_lends_a_key_with_a_token_or_none() {
        let lent = r#"{"Code": "Success", "AccessKeyId": "ASIA", "SecretAccessKey": "s", "Token": "t", "Expiration": "x"}"#;
        assert_eq!(of_role(lent), Some(key("ASIA", "s", Some("t"))));
        for bad in ["", "{}", "[]", &lent.replace("Token", "Tok"), &lent.replace("ASIA", "A\\nX: y")] {
            assert_eq!(of_role(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn the_config_comes_first_then_the_environment_then_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("credentials");
        fs::write(&file, "[default]\naws_access_key_id = F\naws_secret_access_key = S\n").unwrap();
        let environment =
            Environment { key: Some(key("E", "S", None)), shared_file: Some(file.clone()), profile: None };
        let keys = |file: Option<&Path>, environment: &Environment| Keys {
            file: file.map(Path::to_owned),
            environment: environment.clone(),
            // Nobody answers there.
            metadata: Some("127.0.0.1:1".to_owned()),
            ..Keys::default()
        };
        assert_eq!(keys(Some(&file), &environment).get().await.unwrap().id, "F");
        assert_eq!(keys(None, &environment).get().await.unwrap().id, "E");
        let shared = Environment { key: None, ..environment.clone() };
        assert_eq!(keys(None, &shared).get().await.unwrap().id, "F");
        let missing = keys(Some(&folder.path().join("missing")), &environment).get().await;
        assert!(matches!(missing, Err(ProviderError::Refused(text)) if text.contains("cannot read")));
        let none = keys(None, &Environment::default()).get().await;
        assert!(matches!(none, Err(ProviderError::Refused(text)) if text == NO_KEY));
    }
}
