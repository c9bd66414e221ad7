//! Where a store is: `s3://`, `gs://` and `az://` addresses.
//!
//! An address names a place, not who asks: credentials in it are refused, since command lines are seen by everyone on
//! a machine.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use walkeep_core::{Error, ObjectPath, Result};

/// What the addresses of object stores look like, for messages.
pub const FORMS: &str = "s3://BUCKET[/PREFIX], gs://BUCKET[/PREFIX], az://CONTAINER[/PREFIX]";

/// The settings behind `?` and the variables of the environment that count, for help texts.
pub const SETTINGS: &str = "\
Settings stand behind '?', joined by '&': s3://logs/shop?endpoint=https://example.org&region=eu-1
  endpoint=URL          the server, where it is not the service's own
  allow_http=true       allow an endpoint of http://, which all on the way can read and change
  anonymous=true        send no credentials
  timeout_s=SECONDS     how long a request may take, repetitions included: 30
  region=NAME           s3: the region
  path_style=false      s3: the bucket is a part of the host name
  bulk_delete=false     s3: the server cannot delete many objects with one request
  empty_folders=BOOL    s3: whether folders without objects are listed; true with an endpoint
  account=NAME          az: the account

Credentials come from the environment alone:
  s3  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN; a web identity; the machine's
      role. AWS_REGION and AWS_ENDPOINT_URL stand in for region and endpoint
  gs  GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT_PATH (files),
      GOOGLE_SERVICE_ACCOUNT_KEY, GOOGLE_BEARER_TOKEN; the machine's account
  az  AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN,
      AZURE_STORAGE_TOKEN, or AZURE_CLIENT_ID, AZURE_CLIENT_SECRET and AZURE_TENANT_ID;
      the machine's identity";

/// The most bytes a prefix may have: with the longest key it stays below the 1024 that stores allow.
const PREFIX_LEN_MAX: usize = 120;

/// A kind of object store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Amazon S3 and whatever speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

impl Service {
    const fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azure => "az",
        }
    }

    const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::S3 => &[
                "endpoint",
                "region",
                "path_style",
                "bulk_delete",
                "empty_folders",
                "allow_http",
                "anonymous",
                "timeout_s",
            ],
            Self::Gcs => &["endpoint", "allow_http", "anonymous", "timeout_s"],
            Self::Azure => &["account", "endpoint", "allow_http", "anonymous", "timeout_s"],
        }
    }

    fn unknown(self, key: &str) -> Error {
        let why = format!("known for {}:// are {}", self.scheme(), self.keys().join(", "));
        Error::invalid(format!("the key {key:?} of the address"), why)
    }
}

/// A place in an object store.
///
/// ```
/// use walkeep_backends::object::{ObjectLocation, Service};
///
/// let url = "s3://logs/shop?endpoint=http://127.0.0.1:9000&allow_http=true";
/// let location: ObjectLocation = url.parse()?;
/// assert_eq!((location.service, location.bucket.as_str()), (Service::S3, "logs"));
/// assert_eq!(location.to_string(), "s3://logs/shop");
///
/// let error = "s3://logs?endpont=x".parse::<ObjectLocation>().unwrap_err();
/// assert!(error.to_string().contains("endpoint"), "unknown keys are refused with the known ones");
/// # Ok::<(), walkeep_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectLocation {
    /// The kind of store.
    pub service: Service,
    /// The bucket, or Azure's container.
    pub bucket: String,
    /// The folder that all keys lie in.
    pub prefix: Option<ObjectPath>,
    /// The server; the default is the service's own.
    pub endpoint: Option<String>,
    /// S3's region; the default is that of the environment, and then `us-east-1`.
    pub region: Option<String>,
    /// Azure's account; the default is that of the environment.
    pub account: Option<String>,
    /// Whether S3's bucket stands in the path (the default) or in the host name.
    pub path_style: bool,
    /// Whether many objects are deleted with one request (the default). Some servers that speak S3 cannot.
    pub bulk_delete: bool,
    /// Whether the server may list folders of S3 that hold nothing, as those do that keep objects in a file system: then
    /// each folder of a listing is looked into, which costs a request. By default so if there is an endpoint.
    pub empty_folders: Option<bool>,
    /// Whether to send everything in the clear if the endpoint says `http://`. Off by default.
    pub allow_http: bool,
    /// Whether to ask without credentials. Off by default.
    pub anonymous: bool,
    /// How long one request may take with all its repetitions; 30 seconds by default. Sending and receiving much
    /// gets a second more for each 64 KiB.
    pub timeout: Duration,
}

impl ObjectLocation {
    /// A bucket with all settings at their defaults.
    ///
    /// # Errors
    ///
    /// `Invalid` when this is no name of a bucket.
    pub fn new(service: Service, bucket: impl Into<String>) -> Result<Self> {
        let bucket = bucket.into();
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if bucket.contains(['@', ':']) {
            return Err(Error::invalid(
                "an address with credentials or a port before its path",
                "credentials come from the environment (AWS_ACCESS_KEY_ID and so on), a server from `endpoint`",
            ));
        }
        if bucket.is_empty() || !bucket.chars().all(fits) || bucket.starts_with('.') {
            let why = "it has letters, digits, '.', '-' and '_', and does not begin with '.'";
            return Err(Error::invalid(format!("the bucket {bucket:?}"), why));
        }
        Ok(Self {
            service,
            bucket,
            prefix: None,
            endpoint: None,
            region: None,
            account: None,
            path_style: true,
            bulk_delete: true,
            empty_folders: None,
            allow_http: false,
            anonymous: false,
            timeout: Duration::from_secs(30),
        })
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let whole = |value: &str| Some(value.to_string()).filter(|value| !value.is_empty());
        let invalid = |why: &str| Error::invalid(format!("{key}={value}"), why);
        let yes_or_no = || value.parse::<bool>().map_err(|_| invalid("it is `true` or `false`"));
        match key {
            "endpoint" => self.endpoint = Some(value.to_string()),
            "region" => self.region = Some(whole(value).ok_or_else(|| invalid("it is empty"))?),
            "account" => self.account = Some(whole(value).ok_or_else(|| invalid("it is empty"))?),
            "path_style" => self.path_style = yes_or_no()?,
            "bulk_delete" => self.bulk_delete = yes_or_no()?,
            "empty_folders" => self.empty_folders = Some(yes_or_no()?),
            "allow_http" => self.allow_http = yes_or_no()?,
            "anonymous" => self.anonymous = yes_or_no()?,
            "timeout_s" => {
                let seconds = value.parse::<u32>().ok().filter(|seconds| (1..=3600).contains(seconds));
                let seconds = seconds.ok_or_else(|| invalid("it is a number of seconds from 1 to 3600"))?;
                self.timeout = Duration::from_secs(seconds.into());
            }
            _ => return Err(self.service.unknown(key)),
        }
        Ok(())
    }

    /// Checks an endpoint, which may also come from the environment.
    pub(super) fn check_endpoint(&self, endpoint: &str) -> Result<()> {
        let refused = |why: &str| Err(Error::invalid(format!("the endpoint {:?}", shown(endpoint)), why));
        let (http, rest) = match (endpoint.strip_prefix("http://"), endpoint.strip_prefix("https://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return refused("it begins with http:// or https://"),
        };
        if rest.contains(['@', '?', '#']) || rest.starts_with('/') || rest.is_empty() {
            return refused("it is a server's address, without credentials and without a query");
        }
        if http && !self.allow_http {
            return refused(
                "http:// lets everyone on the way read and change the data; allow it with allow_http=true",
            );
        }
        Ok(())
    }
}

/// An endpoint without what may be a password in it.
fn shown(endpoint: &str) -> String {
    match (endpoint.split_once("://"), endpoint.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://(credentials)@{host}"),
        (None, Some((_, host))) => format!("(credentials)@{host}"),
        _ => endpoint.to_string(),
    }
}

impl FromStr for ObjectLocation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| Error::invalid("an address without a scheme", format!("it is one of {FORMS}")))?;
        let services = [Service::S3, Service::Gcs, Service::Azure];
        let service = services.into_iter().find(|service| service.scheme() == scheme).ok_or_else(|| {
            Error::invalid(format!("the scheme {scheme:?}"), format!("an address is one of {FORMS}"))
        })?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let mut location = Self::new(service, bucket)?;
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        if !prefix.is_empty() {
            if prefix.len() > PREFIX_LEN_MAX {
                let what = format!("a prefix of {} bytes", prefix.len());
                return Err(Error::invalid(what, format!("it has {PREFIX_LEN_MAX} at most")));
            }
            location.prefix = Some(ObjectPath::new(prefix)?);
        }
        let mut seen = std::collections::BTreeSet::new();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            if !service.keys().contains(&&*key) {
                return Err(service.unknown(&key));
            }
            if !seen.insert(key.to_string()) {
                return Err(Error::invalid(
                    format!("the key {key:?} of the address"),
                    "it stands there twice",
                ));
            }
            location.set(&key, &value)?;
        }
        if let Some(endpoint) = &location.endpoint {
            location.check_endpoint(endpoint)?;
        }
        Ok(location)
    }
}

/// Scheme, bucket and prefix: enough to find the place again, without settings.
impl fmt::Display for ObjectLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.service.scheme(), self.bucket)?;
        match &self.prefix {
            Some(prefix) => write!(f, "/{prefix}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_every_service_is_in_the_help() {
        for service in [Service::S3, Service::Gcs, Service::Azure] {
            assert!(
                FORMS.contains(service.scheme()) && SETTINGS.contains(&format!("\n  {}  ", service.scheme()))
            );
            for key in service.keys() {
                assert!(SETTINGS.contains(&format!("\n  {key}=")), "{key}");
            }
        }
    }

    fn refused(url: &str) -> String {
        url.parse::<ObjectLocation>().unwrap_err().to_string()
    }

    #[test]
    fn every_key_is_understood() {
        let url = "s3://b-1/p/q/?endpoint=https%3A%2F%2Fs3.example.org&region=eu-1&path_style=false&bulk_delete=false\
                   &empty_folders=false&allow_http=true&anonymous=true&timeout_s=5";
        let location: ObjectLocation = url.parse().unwrap();
        let expected = ObjectLocation {
            prefix: Some(ObjectPath::new("p/q").unwrap()),
            endpoint: Some("https://s3.example.org".into()),
            region: Some("eu-1".into()),
            path_style: false,
            bulk_delete: false,
            empty_folders: Some(false),
            allow_http: true,
            anonymous: true,
            timeout: Duration::from_secs(5),
            ..ObjectLocation::new(Service::S3, "b-1").unwrap()
        };
        assert_eq!(location, expected);
        let azure: ObjectLocation = "az://c?account=me".parse().unwrap();
        assert_eq!((azure.service, azure.account.as_deref()), (Service::Azure, Some("me")));
        assert_eq!("gs://b/".parse::<ObjectLocation>().unwrap().to_string(), "gs://b");
    }

    #[test]
    fn unknown_keys_are_refused_with_those_of_the_service() {
        for (url, known) in [
            ("s3://b?account=x", "region"),
            ("gs://b?region=x", "endpoint"),
            ("az://b?path_style=true", "account"),
        ] {
            let error = refused(url);
            assert!(error.contains(known) && error.contains("timeout_s"), "{error}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for (url, why) in [
            ("logs", "s3://BUCKET"),
            ("s4://b", "gs://BUCKET"),
            ("s3://", "the bucket \"\""),
            ("s3://a b", "letters"),
            ("s3://b/../c", "object path"),
            ("s3://b?region=", "empty"),
            ("s3://b?region=a&region=b", "twice"),
            ("s3://b?allow_http=yes", "`true` or `false`"),
            ("s3://b?timeout_s=0", "from 1 to 3600"),
            ("s3://b?endpoint=127.0.0.1:9000", "http:// or https://"),
            ("s3://b?endpoint=https://", "a server's address"),
            ("s3://b?endpoint=http://127.0.0.1:9000", "allow_http=true"),
        ] {
            assert!(refused(url).contains(why), "{url}: {}", refused(url));
        }
        assert!(refused(&format!("s3://b/{}", "p".repeat(PREFIX_LEN_MAX + 1))).contains("121 bytes"));
    }

    #[test]
    fn credentials_in_an_address_are_refused_and_not_repeated() {
        for url in [
            "s3://key:canary@b/p",
            "s3://b?endpoint=https://key:canary@example.org",
            "s3://b?endpoint=key:canary@example.org",
        ] {
            let error = refused(url);
            assert!(!error.contains("canary") && error.contains("credentials"), "{error}");
        }
    }
}
