//! Servers that speak S3, as the environment names them.
//!
//! Without one a test fails and says how to get it: `tests/with-s3` and `tests/with-juicefs` start servers.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;

use walkeep::backends::Object;
use walkeep::backends::object::{Credentials, ObjectConfig, Secret};

use crate::command::Walkeep;

/// A bucket on a server, and who asks.
#[derive(Clone, Debug)]
pub struct S3 {
    endpoint: String,
    bucket: String,
    access_key: String,
    secret_key: String,
    /// Of this run of the test, so that it finds nothing of earlier ones.
    prefix: String,
}

impl S3 {
    /// The server that honours create-only requests: `WALKEEP_TEST_S3_ENDPOINT`, `_BUCKET`, `_ACCESS_KEY`, `_SECRET_KEY`.
    ///
    /// # Panics
    ///
    /// When the environment does not name one.
    #[must_use]
    pub fn fenced() -> Self {
        Self::of("WALKEEP_TEST_S3", "tests/with-s3")
    }

    /// The server that does not: `WALKEEP_TEST_S3_UNFENCED_ENDPOINT` and the rest.
    ///
    /// # Panics
    ///
    /// When the environment does not name one.
    #[must_use]
    pub fn unfenced() -> Self {
        Self::of("WALKEEP_TEST_S3_UNFENCED", "tests/with-juicefs")
    }

    fn of(prefix: &str, script: &str) -> Self {
        let variable = |name: &str| {
            let name = format!("{prefix}_{name}");
            std::env::var(&name).unwrap_or_else(|_| {
                panic!("{name} is not set: run `{script} cargo test ...`, or set it for a server of your own")
            })
        };
        Self {
            endpoint: variable("ENDPOINT"),
            bucket: variable("BUCKET"),
            access_key: variable("ACCESS_KEY"),
            secret_key: variable("SECRET_KEY"),
            prefix: format!("walkeep-test-{:016x}", RandomState::new().build_hasher().finish()),
        }
    }

    /// The same server, asked for another bucket.
    #[must_use]
    pub fn with_bucket(self, bucket: &str) -> Self {
        Self { bucket: bucket.to_string(), ..self }
    }

    /// The same server, asked with another secret.
    #[must_use]
    pub fn with_secret_key(self, secret_key: &str) -> Self {
        Self { secret_key: secret_key.to_string(), ..self }
    }

    /// The address of a store in the bucket.
    #[must_use]
    pub fn url(&self, store: &str) -> String {
        let Self { endpoint, bucket, prefix, .. } = self;
        format!("s3://{bucket}/{prefix}/{store}?endpoint={endpoint}&allow_http=true&timeout_s=10")
    }

    /// A store in the bucket, as a backend.
    ///
    /// # Panics
    ///
    /// When its address is none.
    #[must_use]
    pub fn backend(&self, store: &str) -> Object {
        let credentials = Credentials::access_key(&self.access_key, Secret::new(&self.secret_key));
        Object::new(ObjectConfig::open(&self.url(store).parse().unwrap(), &credentials).unwrap())
    }

    /// The address without its settings, as messages show it.
    #[must_use]
    pub fn shown(&self, store: &str) -> String {
        format!("s3://{}/{}/{store}", self.bucket, self.prefix)
    }

    /// The variables that a program needs to use it.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, &str); 2] {
        [("AWS_ACCESS_KEY_ID", &self.access_key), ("AWS_SECRET_ACCESS_KEY", &self.secret_key)]
    }

    /// The command, in a directory, with these variables.
    #[must_use]
    pub fn walkeep(&self, directory: &Path) -> Walkeep {
        let variables = self.variables();
        variables.into_iter().fold(Walkeep::at(directory), |walkeep, (name, value)| walkeep.with(name, value))
    }
}
