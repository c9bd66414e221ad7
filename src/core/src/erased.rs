//! Backends without their type: for programs that choose a backend while they run, perhaps from more kinds than they
//! can name.
//!
//! Invariants:
//!
//! - a configuration of another type than the backend's own is refused as `Invalid` before anything is asked of a
//!   store; it is never ignored;
//! - a configuration's content, which may hold credentials, is not shown by `Debug`; its type is.
//!
//! An [`Arc`] of any backend is a backend as well, so a [`DynBackend`] goes wherever one is wanted.
//! Where the kinds are known when the program is written, [`Either`](crate::Either) checks more and costs less.

use std::any::{Any, type_name};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::backend::{Backend, ByteRange, Leftovers, ObjectMeta};
use crate::body::Body;
use crate::either::refused;
use crate::error::{Error, Result};
use crate::object_path::ObjectPath;
use crate::unix_millis::UnixMillis;

/// A backend of any kind. Make one with [`Erased::new`] or [`Erased::shared`].
pub type DynBackend = Arc<dyn Backend<Config = AnyConfig>>;

/// The configuration of a backend or storage of any kind.
#[derive(Clone)]
pub struct AnyConfig {
    value: Arc<dyn Any + Send + Sync>,
    type_name: &'static str,
}

impl AnyConfig {
    /// Hides the type of a configuration.
    pub fn new<C: Send + Sync + 'static>(config: C) -> Self {
        Self { value: Arc::new(config), type_name: type_name::<C>() }
    }

    /// The configuration, if it is of this type.
    #[must_use]
    pub fn downcast_ref<C: 'static>(&self) -> Option<&C> {
        self.value.downcast_ref()
    }

    /// The same as the configuration of a call to something whose configurations are of this type.
    pub(crate) fn of<C: 'static>(config: Option<&Self>) -> Result<Option<&C>> {
        let wrong_type = |config: &Self| {
            Error::invalid(
                format!("a configuration of the type {}", config.type_name),
                format!("one is wanted of the type {}, or none at all", type_name::<C>()),
            )
        };
        config.map(|config| config.downcast_ref().ok_or_else(|| wrong_type(config))).transpose()
    }
}

impl fmt::Debug for AnyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AnyConfig({})", self.type_name)
    }
}

/// A backend, or a storage, whose configurations have lost their type.
#[derive(Clone, Copy, Debug)]
pub struct Erased<B> {
    inner: B,
}

impl<B> Erased<B> {
    /// Hides the type of the configurations of a backend, or of a [`Storage`](crate::Storage).
    pub const fn new(inner: B) -> Self {
        Self { inner }
    }

    /// What is behind.
    pub const fn inner(&self) -> &B {
        &self.inner
    }
}

impl<B: Backend> Erased<B> {
    /// Hides the type of a backend's configurations, and its own type as well.
    pub fn shared(inner: B) -> DynBackend {
        Arc::new(Self::new(inner))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<B: Backend> Backend for Erased<B> {
    type Config = AnyConfig;

    fn default_config(&self) -> AnyConfig {
        AnyConfig::new(self.inner.default_config())
    }

    async fn put_new(&self, config: Option<&AnyConfig>, path: &ObjectPath, body: Body) -> Result<()> {
        self.inner.put_new(AnyConfig::of(config)?, path, body).await
    }

    async fn get(&self, config: Option<&AnyConfig>, path: &ObjectPath, range: ByteRange) -> Result<Bytes> {
        self.inner.get(AnyConfig::of(config)?, path, range).await
    }

    fn list<'a>(
        &'a self,
        config: Option<&'a AnyConfig>,
        prefix: &'a ObjectPath,
        after: Option<&'a ObjectPath>,
        limit: usize,
    ) -> BoxStream<'a, Result<ObjectMeta>> {
        match AnyConfig::of(config) {
            Ok(config) => self.inner.list(config, prefix, after, limit),
            Err(error) => refused(error),
        }
    }

    fn list_directories<'a>(
        &'a self,
        config: Option<&'a AnyConfig>,
        prefix: &'a ObjectPath,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxStream<'a, Result<String>> {
        match AnyConfig::of(config) {
            Ok(config) => self.inner.list_directories(config, prefix, after, limit),
            Err(error) => refused(error),
        }
    }

    async fn delete(&self, config: Option<&AnyConfig>, paths: &[ObjectPath]) -> Result<()> {
        self.inner.delete(AnyConfig::of(config)?, paths).await
    }

    async fn leftovers(
        &self,
        config: Option<&AnyConfig>,
        prefix: &ObjectPath,
        before: UnixMillis,
        delete: bool,
    ) -> Result<Leftovers> {
        self.inner.leftovers(AnyConfig::of(config)?, prefix, before, delete).await
    }
}

/// A shared backend is a backend: also one without its type.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<B: Backend + ?Sized> Backend for Arc<B> {
    type Config = B::Config;

    fn default_config(&self) -> B::Config {
        (**self).default_config()
    }

    async fn put_new(&self, config: Option<&B::Config>, path: &ObjectPath, body: Body) -> Result<()> {
        (**self).put_new(config, path, body).await
    }

    async fn get(&self, config: Option<&B::Config>, path: &ObjectPath, range: ByteRange) -> Result<Bytes> {
        (**self).get(config, path, range).await
    }

    fn list<'a>(
        &'a self,
        config: Option<&'a B::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a ObjectPath>,
        limit: usize,
    ) -> BoxStream<'a, Result<ObjectMeta>> {
        (**self).list(config, prefix, after, limit)
    }

    fn list_directories<'a>(
        &'a self,
        config: Option<&'a B::Config>,
        prefix: &'a ObjectPath,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxStream<'a, Result<String>> {
        (**self).list_directories(config, prefix, after, limit)
    }

    async fn delete(&self, config: Option<&B::Config>, paths: &[ObjectPath]) -> Result<()> {
        (**self).delete(config, paths).await
    }

    async fn leftovers(
        &self,
        config: Option<&B::Config>,
        prefix: &ObjectPath,
        before: UnixMillis,
        delete: bool,
    ) -> Result<Leftovers> {
        (**self).leftovers(config, prefix, before, delete).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_shows_its_type_and_not_its_content() {
        let config = AnyConfig::new("canary-secret".to_string());
        assert_eq!(format!("{config:?}"), "AnyConfig(alloc::string::String)");
        assert_eq!(config.downcast_ref::<String>().map(String::as_str), Some("canary-secret"));
        let error = AnyConfig::of::<u32>(Some(&config)).unwrap_err().to_string();
        assert!(error.contains("alloc::string::String") && error.contains("u32"), "{error}");
        assert!(!error.contains("canary"), "{error}");
    }
}
