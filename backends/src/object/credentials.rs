//! Who asks: credentials under the names of the usual environment variables.
//!
//! Invariant: a secret is shown by no `Debug`, and by no message that went through [`Credentials::scrub`].

use std::collections::BTreeMap;
use std::fmt;

use walkeep_core::{Error, Result};

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for whoever must send it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The variables that are read, by service, and whether their values are secret.
const VARIABLES: [(&str, bool); 31] = [
    ("AWS_ACCESS_KEY_ID", false),
    ("AWS_SECRET_ACCESS_KEY", true),
    ("AWS_SESSION_TOKEN", true),
    ("AWS_REGION", false),
    ("AWS_DEFAULT_REGION", false),
    ("AWS_ENDPOINT_URL", false),
    ("AWS_ENDPOINT_URL_S3", false),
    ("AWS_ENDPOINT_URL_STS", false),
    ("AWS_ROLE_ARN", false),
    ("AWS_ROLE_SESSION_NAME", false),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", false),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", false),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", false),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", false),
    ("GOOGLE_APPLICATION_CREDENTIALS", false),
    ("GOOGLE_SERVICE_ACCOUNT", false),
    ("GOOGLE_SERVICE_ACCOUNT_PATH", false),
    ("GOOGLE_SERVICE_ACCOUNT_KEY", true),
    ("GOOGLE_BEARER_TOKEN", true),
    ("AZURE_STORAGE_ACCOUNT_NAME", false),
    ("AZURE_STORAGE_ACCOUNT_KEY", true),
    ("AZURE_STORAGE_SAS_TOKEN", true),
    ("AZURE_STORAGE_TOKEN", true),
    ("AZURE_CLIENT_ID", false),
    ("AZURE_CLIENT_SECRET", true),
    ("AZURE_TENANT_ID", false),
    ("AZURE_AUTHORITY_HOST", false),
    ("AZURE_FEDERATED_TOKEN_FILE", false),
    ("AZURE_MSI_ENDPOINT", false),
    ("AZURE_OBJECT_ID", false),
    ("AZURE_MSI_RESOURCE_ID", false),
];

/// Credentials, as a set of the variables that the command line tools of the services know.
///
/// Only those that the chosen service uses matter. Without any, a service's own sources are asked: the metadata
/// service of the machine, or for Google the file of `gcloud`. Files of AWS profiles are not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    values: BTreeMap<&'static str, Secret>,
}

impl Credentials {
    /// What the environment of this process has; variables that are empty count as missing.
    #[must_use]
    pub fn from_environment() -> Self {
        let found = VARIABLES.iter().filter_map(|(name, _)| Some((*name, std::env::var(name).ok()?)));
        let values = found.filter(|(_, value)| !value.is_empty());
        Self { values: values.map(|(name, value)| (name, Secret(value))).collect() }
    }

    /// An access key of S3 or a compatible store.
    pub fn access_key(id: impl Into<String>, secret: Secret) -> Self {
        let id = Secret::new(id);
        Self { values: BTreeMap::from([("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)]) }
    }

    /// The same with one variable more, or another value of it.
    ///
    /// # Errors
    ///
    /// `Invalid` when there is no such variable.
    pub fn with(mut self, variable: &str, value: Secret) -> Result<Self> {
        let known = VARIABLES.iter().find(|(name, _)| *name == variable).ok_or_else(|| {
            let names = VARIABLES.iter().map(|(name, _)| *name).collect::<Vec<_>>();
            Error::invalid(format!("the variable {variable:?}"), format!("known are {}", names.join(", ")))
        })?;
        self.values.insert(known.0, value);
        Ok(self)
    }

    /// A variable's value.
    pub(super) fn get(&self, variable: &str) -> Option<&str> {
        self.values.get(variable).map(Secret::reveal)
    }

    /// All variables whose names begin like this, in lower case: as `object_store` calls its settings.
    pub(super) fn settings(&self, prefix: &str) -> impl Iterator<Item = (String, &str)> {
        let settings = self.values.iter().filter(move |(name, _)| name.starts_with(prefix));
        settings.map(|(name, value)| (name.to_ascii_lowercase(), value.reveal()))
    }

    /// A text without the secrets among these credentials, in whatever way a server repeats them.
    pub(super) fn scrub(&self, text: &str) -> String {
        let secret = |name: &str| VARIABLES.iter().any(|(known, secret)| *known == name && *secret);
        let secrets = self.values.iter().filter(|(name, value)| secret(name) && !value.0.is_empty());
        let shown = secrets.flat_map(|(name, value)| as_shown(name, value.reveal()));
        shown.fold(text.to_string(), |text, shown| text.replace(&shown, "(secret)"))
    }
}

/// A secret as it may turn up in a text, the longest form first: as it is, and as a part of a query. Of a token that is a
/// query itself the signature is the secret; the library takes it apart and writes it anew.
fn as_shown(name: &str, secret: &str) -> Vec<String> {
    let mut plain = vec![secret.to_string()];
    if name == "AZURE_STORAGE_SAS_TOKEN" {
        let pairs = form_urlencoded::parse(secret.trim_start_matches('?').as_bytes());
        plain.extend(pairs.filter(|(key, _)| key == "sig").map(|(_, signature)| signature.into_owned()));
        // A '+' that is not a space.
        plain.extend(plain.iter().map(|plain| plain.replace(' ', "+")).collect::<Vec<_>>());
    }
    let encoded = |plain: &String| form_urlencoded::byte_serialize(plain.as_bytes()).collect::<String>();
    let mut shown = plain.iter().map(encoded).collect::<Vec<_>>();
    shown.extend(plain);
    shown.retain(|shown| !shown.is_empty());
    shown.sort_by_key(|shown| std::cmp::Reverse(shown.len()));
    shown
}

#[cfg(test)]
mod tests {
    use object_store::aws::AmazonS3ConfigKey;
    use object_store::azure::AzureConfigKey;
    use object_store::gcp::GoogleConfigKey;

    use super::*;

    #[test]
    fn every_variable_is_a_setting_of_its_service() {
        for (name, _) in VARIABLES {
            let setting = name.to_ascii_lowercase();
            let known = match name.split_once('_').unwrap().0 {
                "AWS" => setting.parse::<AmazonS3ConfigKey>().is_ok(),
                "GOOGLE" => setting.parse::<GoogleConfigKey>().is_ok(),
                _ => setting.parse::<AzureConfigKey>().is_ok(),
            };
            assert!(known, "{name}");
        }
    }

    #[test]
    fn unknown_variables_are_refused_with_the_known_ones() {
        let error = Credentials::default().with("AWS_SECRET", Secret::new("canary")).unwrap_err().to_string();
        assert!(error.contains("AWS_SECRET_ACCESS_KEY") && !error.contains("canary"), "{error}");
    }

    #[test]
    fn secrets_are_neither_shown_nor_left_in_a_text() {
        let credentials = Credentials::access_key("id", Secret::new("canary-1"))
            .with("AWS_SESSION_TOKEN", Secret::new("canary-2"))
            .unwrap();
        assert!(!format!("{credentials:?}").contains("canary"));
        assert_eq!(credentials.scrub("id canary-1, canary-2!"), "id (secret), (secret)!");
    }

    #[test]
    fn the_signature_of_a_token_is_left_in_no_form() {
        let token = "?sv=2021&sp=rwl&sig=canary%2Bsas%2Fsignature%3D";
        let credentials = Credentials::default().with("AZURE_STORAGE_SAS_TOKEN", Secret::new(token)).unwrap();
        for said in [
            token,
            "sp=rwl sv=2021 sig=canary%2Bsas%2Fsignature%3D HTTP/1.1",
            "sig=canary+sas/signature= was wrong",
        ] {
            let scrubbed = credentials.scrub(said);
            assert!(!scrubbed.contains("canary") && scrubbed.contains("(secret)"), "{scrubbed}");
        }
    }
}
