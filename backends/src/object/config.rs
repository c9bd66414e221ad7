//! A bucket, opened: where objects are, who asks, and the connections.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::list::PaginatedListStore;
use object_store::memory::InMemory;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use walkeep_core::{Error, ObjectPath, Result};

use super::answer::Connector;
use super::credentials::Credentials;
use super::location::{ObjectLocation, Service};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bodies longer than this are sent in parts. Up to this, creating is atomic everywhere.
const MULTIPART_FROM: u64 = 64 << 20;
const PART_LEN: u64 = 16 << 20;

/// A bucket with its prefix, credentials and connections. Cheap to clone; clones share the connections.
#[derive(Clone)]
pub struct ObjectConfig {
    pub(super) client: Arc<Client>,
}

/// What an [`ObjectConfig`] shares.
pub(super) struct Client {
    name: String,
    key_prefix: String,
    credentials: Credentials,
    pub(super) timeout: Duration,
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) multipart: Arc<dyn MultipartStore>,
    /// Where listings come in pages; in memory they do not.
    pub(super) pages: Option<Arc<dyn PaginatedListStore>>,
    /// Whether a range must be cut to the object before it is asked for.
    pub(super) exact_ranges: bool,
    /// Whether the end of an object can be asked for without its length.
    pub(super) suffix_ranges: bool,
    /// Whether a folder in a listing may be empty.
    pub(super) empty_folders: bool,
    pub(super) multipart_from: u64,
    pub(super) part_len: u64,
}

impl ObjectConfig {
    /// Opens the place that an address names, with the credentials of the environment.
    ///
    /// Nothing is sent yet: whether the bucket exists and the credentials are good, the first call tells.
    ///
    /// # Errors
    ///
    /// `Invalid`, as for [`ObjectLocation`] and [`ObjectConfig::open`].
    pub fn from_url(url: &str) -> Result<Self> {
        Self::open(&url.parse()?, &Credentials::from_environment())
    }

    /// Opens a place with these credentials. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// `Invalid` when credentials contradict each other, or files that they name cannot be read.
    pub fn open(location: &ObjectLocation, credentials: &Credentials) -> Result<Self> {
        use_ring();
        let client = match location.service {
            Service::S3 => open_s3(location, credentials),
            Service::Gcs => open_gcs(location, credentials),
            Service::Azure => open_azure(location, credentials),
        };
        Ok(Self { client: Arc::new(client?) })
    }

    /// A store in memory, empty, gone with its last clone: for tests of what is built on this backend.
    #[must_use]
    pub fn in_memory() -> Self {
        let memory = Arc::new(InMemory::new());
        let client = Client {
            name: "memory:".into(),
            key_prefix: String::new(),
            credentials: Credentials::default(),
            timeout: Duration::from_secs(30),
            objects: memory.clone(),
            multipart: memory,
            pages: None,
            exact_ranges: true,
            suffix_ranges: true,
            empty_folders: false,
            multipart_from: MULTIPART_FROM,
            part_len: PART_LEN,
        };
        Self { client: Arc::new(client) }
    }

    /// The same place, where bodies longer than this are sent in parts of that length: for tests, which need not
    /// move 64 MiB to see parts. S3 wants parts of 5 MiB or more.
    #[cfg(test)]
    pub(super) fn with_parts(self, multipart_from: u64, part_len: u64) -> Self {
        let client = Arc::into_inner(self.client).expect("a configuration that was not cloned");
        Self { client: Arc::new(Client { multipart_from, part_len, ..client }) }
    }

    /// A place that is listed by something else, which may list empty folders.
    #[cfg(test)]
    pub(super) fn with_pages(self, store: Arc<dyn PaginatedListStore>) -> Self {
        let client = Arc::into_inner(self.client).expect("a configuration that was not cloned");
        Self { client: Arc::new(Client { pages: Some(store), empty_folders: true, ..client }) }
    }
}

impl fmt::Debug for ObjectConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectConfig({})", self.client.name)
    }
}

impl Client {
    fn new<S>(location: &ObjectLocation, credentials: &Credentials, store: S) -> Self
    where
        S: ObjectStore + MultipartStore + PaginatedListStore,
    {
        let store = Arc::new(store);
        Self {
            name: location.to_string(),
            key_prefix: location.prefix.as_ref().map(|prefix| format!("{prefix}/")).unwrap_or_default(),
            credentials: credentials.clone(),
            timeout: location.timeout,
            objects: store.clone(),
            multipart: store.clone(),
            pages: Some(store),
            exact_ranges: false,
            suffix_ranges: location.service != Service::Azure,
            empty_folders: false,
            multipart_from: MULTIPART_FROM,
            part_len: PART_LEN,
        }
    }

    /// The whole key of what an [`ObjectPath`] begins like.
    pub(super) fn key(&self, path: impl fmt::Display) -> String {
        format!("{}{path}", self.key_prefix)
    }

    pub(super) fn location(&self, path: &ObjectPath) -> Result<Path> {
        Path::parse(self.key(path)).map_err(|error| {
            Error::invalid(format!("object path {path}"), format!("stores do not take it: {error}"))
        })
    }

    /// The path of a whole key, if it is one.
    pub(super) fn path(&self, location: &Path) -> Option<ObjectPath> {
        ObjectPath::new(location.as_ref().strip_prefix(&self.key_prefix)?).ok()
    }

    /// A call about a path, for messages.
    pub(super) fn describe(&self, call: &str, path: impl fmt::Display) -> String {
        format!("{call} {}/{path}", self.name)
    }

    /// An error without secrets.
    pub(super) fn scrubbed(&self, error: Error) -> Error {
        match error {
            Error::Unavailable { what, .. } => {
                Error::Unavailable { what: self.credentials.scrub(&what), source: None }
            }
            Error::Exhausted { what } => Error::Exhausted { what: self.credentials.scrub(&what) },
            other => other,
        }
    }
}

/// Lets the TLS library use `ring`, unless the program has chosen something else.
fn use_ring() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // If another thread was faster, there is one now.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

fn no_retries() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, retry_timeout: Duration::ZERO }
}

fn client_options(location: &ObjectLocation) -> ClientOptions {
    ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT_TIMEOUT.min(location.timeout))
        .with_allow_http(location.allow_http)
}

fn refused(location: &ObjectLocation, credentials: &Credentials, error: &object_store::Error) -> Error {
    let why = credentials.scrub(&error.to_string());
    Error::invalid(format!("the settings or credentials for {location}"), why)
}

/// The endpoint of the address, or else of the environment.
fn endpoint(
    location: &ObjectLocation,
    credentials: &Credentials,
    variables: &[&str],
) -> Result<Option<String>> {
    let from_environment = || variables.iter().find_map(|variable| credentials.get(variable));
    let Some(endpoint) = location.endpoint.as_deref().or_else(from_environment) else { return Ok(None) };
    location.check_endpoint(endpoint)?;
    Ok(Some(endpoint.trim_end_matches('/').to_string()))
}

fn open_s3(location: &ObjectLocation, credentials: &Credentials) -> Result<Client> {
    let mut builder = AmazonS3Builder::new();
    for (setting, value) in credentials.settings("AWS_") {
        let is_endpoint = setting.starts_with("aws_endpoint_url") && setting != "aws_endpoint_url_sts";
        if let (false, Ok(key)) = (is_endpoint, setting.parse::<AmazonS3ConfigKey>()) {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(region) = &location.region {
        builder = builder.with_region(region);
    }
    let endpoint = endpoint(location, credentials, &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])?;
    let empty_folders = location.empty_folders.unwrap_or(endpoint.is_some());
    if let Some(endpoint) = endpoint {
        // In host style the library wants the bucket in the endpoint.
        let endpoint = match endpoint.split_once("://") {
            Some((scheme, host)) if !location.path_style => format!("{scheme}://{}.{host}", location.bucket),
            _ => endpoint,
        };
        builder = builder.with_endpoint(endpoint);
    }
    let store = builder
        .with_bucket_name(&location.bucket)
        .with_virtual_hosted_style_request(!location.path_style)
        .with_disable_bulk_delete(!location.bulk_delete)
        .with_skip_signature(location.anonymous)
        .with_client_options(client_options(location))
        .with_retry(no_retries())
        .with_http_connector(Connector::default())
        .build()
        .map_err(|error| refused(location, credentials, &error))?;
    Ok(Client { empty_folders, ..Client::new(location, credentials, store) })
}

fn open_gcs(location: &ObjectLocation, credentials: &Credentials) -> Result<Client> {
    let mut builder = GoogleCloudStorageBuilder::new();
    for (setting, value) in credentials.settings("GOOGLE_") {
        if let Ok(key) = setting.parse::<GoogleConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(endpoint) = endpoint(location, credentials, &[])? {
        builder = builder.with_base_url(&endpoint);
    }
    let store = builder
        .with_bucket_name(&location.bucket)
        .with_skip_signature(location.anonymous)
        .with_client_options(client_options(location))
        .with_retry(no_retries())
        .with_http_connector(Connector::default())
        .build()
        .map_err(|error| refused(location, credentials, &error))?;
    Ok(Client::new(location, credentials, store))
}

fn open_azure(location: &ObjectLocation, credentials: &Credentials) -> Result<Client> {
    let mut builder = MicrosoftAzureBuilder::new();
    for (setting, value) in credentials.settings("AZURE_") {
        if let Ok(key) = setting.parse::<AzureConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(account) = &location.account {
        builder = builder.with_account(account);
    }
    if let Some(endpoint) = endpoint(location, credentials, &[])? {
        builder = builder.with_endpoint(endpoint);
    }
    let store = builder
        .with_container_name(&location.bucket)
        .with_skip_signature(location.anonymous)
        .with_client_options(client_options(location))
        .with_retry(no_retries())
        .with_http_connector(Connector::default())
        .build()
        .map_err(|error| refused(location, credentials, &error))?;
    Ok(Client::new(location, credentials, store))
}
