//! Why an attempt failed, sorted by what to do next.

use object_store::Error as StoreError;
use object_store::client::HttpError;
use walkeep_core::Error;

use super::answer::{Heard, What, shortened};

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The object is not there.
    NotFound,
    /// The object is there already.
    AlreadyExists,
    /// Others are creating the same object at this moment; nothing was done.
    Busy,
    /// The object ends before the range begins.
    NoSuchRange,
    /// The server said yes, and then something that cannot be understood.
    Unreadable,
    /// A quota is full.
    Full,
    /// The same request would fail again.
    Refused,
    /// It may pass; nothing was done.
    Passing,
    /// It may pass; it may have been done.
    Unknown,
}

/// A failed attempt.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    pub(super) why: String,
}

/// Hosts that give credentials to the machines of the clouds.
const METADATA_HOSTS: [&str; 4] = ["169.254.169.254", "169.254.170.2", "169.254.170.23", "metadata"];

impl Failure {
    pub(super) fn new(kind: Kind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into() }
    }

    /// Whether the same attempt may go better later.
    pub(super) const fn may_pass(&self) -> bool {
        matches!(self.kind, Kind::Busy | Kind::Passing | Kind::Unknown)
    }

    /// Sorts what an attempt returned, by what was heard from the server.
    pub(super) fn sorted(error: &StoreError, heard: Option<&Heard>) -> Self {
        if let Some(Heard { server, what }) = heard {
            if METADATA_HOSTS.iter().any(|host| server.starts_with(host)) {
                let why = "there are no credentials: none were given (AWS_ACCESS_KEY_ID and so on), and this machine's \
                           metadata service has none";
                return Self::new(Kind::Refused, why);
            }
            return match what {
                What::NotConnected { why } => Self::not_connected(server, why),
                What::NoAnswer { why } => Self::new(Kind::Unknown, format!("no answer from {server}: {why}")),
                What::Status { status, code, message } => Self::answered(what, *status, code, message),
            };
        }
        match error {
            StoreError::NotFound { .. } => Self::new(Kind::NotFound, "it does not exist"),
            StoreError::AlreadyExists { .. } | StoreError::Precondition { .. } => {
                Self::new(Kind::AlreadyExists, "it exists")
            }
            StoreError::NotSupported { .. }
            | StoreError::NotImplemented { .. }
            | StoreError::UnknownConfigurationKey { .. } => {
                Self::new(Kind::Refused, shortened(&error.to_string()))
            }
            StoreError::InvalidPath { .. } => {
                let why = "a foreign object has a key that this version cannot read (an empty part, or control \
                           characters); move it elsewhere";
                Self::new(Kind::Refused, format!("{why}: {}", shortened(&error.to_string())))
            }
            // A deletion of many objects succeeds as a whole, and says in its answer what it did not delete.
            other if other.to_string().contains("AccessDenied") => Self::new(
                Kind::Refused,
                format!("the credentials were refused: {}", shortened(&other.to_string())),
            ),
            other => Self::unheard(other),
        }
    }

    /// Sorts what went wrong behind an answer that was a success, or without any request.
    fn unheard(error: &StoreError) -> Self {
        let text = error.to_string();
        let mut cause: Option<&dyn std::error::Error> = Some(error);
        while let Some(error) = cause {
            if error.is::<HttpError>() {
                return Self::new(Kind::Unknown, format!("the answer broke off: {}", shortened(&text)));
            }
            cause = error.source();
        }
        // S3 may say yes to a long request first, and then that it failed.
        if ["InternalError", "SlowDown", "ServiceUnavailable"].iter().any(|code| text.contains(code)) {
            return Self::new(Kind::Unknown, shortened(&text));
        }
        Self::new(Kind::Unreadable, shortened(&text))
    }

    fn not_connected(server: &str, why: &str) -> Self {
        let lower = why.to_ascii_lowercase();
        if lower.contains("refused") {
            return Self::new(Kind::Passing, format!("the connection to {server} was refused"));
        }
        if lower.contains("certificate") || lower.contains("unknownissuer") {
            return Self::new(
                Kind::Refused,
                format!("{server} has a certificate that is not trusted: {why}"),
            );
        }
        Self::new(Kind::Passing, format!("no connection to {server}: {why}"))
    }

    fn answered(what: &What, status: u16, code: &str, message: &str) -> Self {
        let said = [code, message].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ");
        let said = if said.is_empty() { format!("{status}") } else { format!("{status} {said}") };
        let refused = |why: &str| Self::new(Kind::Refused, format!("{why} ({said})"));
        match (status, code) {
            (404, _) if what.is_no_such_bucket() => refused("there is no such bucket"),
            (404, _) => Self::new(Kind::NotFound, said),
            (_, "RequestTimeTooSkewed") => {
                refused("the clock of this machine is too far from the server's; set it right")
            }
            (507, _) | (_, "QuotaExceeded" | "XMinioStorageFull" | "StorageQuotaExceeded") => {
                Self::new(Kind::Full, format!("the store has no room ({said})"))
            }
            (401 | 403, _) | (400, "ExpiredToken" | "InvalidToken" | "AuthenticationFailed") => {
                refused("the credentials were refused")
            }
            (409, code) if code.contains("AlreadyExists") => Self::new(Kind::AlreadyExists, said),
            (409, _) => Self::new(Kind::Busy, format!("the object is being changed by others ({said})")),
            (304 | 412, _) => Self::new(Kind::AlreadyExists, said),
            (416, _) => Self::new(Kind::NoSuchRange, said),
            (300..=399, _) | (400, "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
                refused("the bucket is elsewhere: set the region, or the endpoint")
            }
            (408 | 429 | 503, _) => Self::new(Kind::Passing, format!("the server asks to wait ({said})")),
            (500..=599, _) if status != 501 => {
                Self::new(Kind::Unknown, format!("the server failed ({said})"))
            }
            _ => refused("the server refused the request"),
        }
    }

    /// As an error of the call `what`, whose object is `path`.
    pub(super) fn into_error(self, what: &str, path: &str) -> Error {
        let Self { kind, why } = self;
        match kind {
            Kind::NotFound => Error::not_found(path),
            Kind::AlreadyExists => Error::AlreadyExists { what: path.to_string() },
            Kind::Full => Error::Exhausted { what: format!("{what}: {why}") },
            _ => Error::Unavailable { what: format!("{what}: {why}"), source: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, code: &str, message: &str) -> (Kind, String) {
        let what = What::Status { status, code: code.into(), message: message.into() };
        let failure = sorted("example.org", what);
        (failure.kind, failure.why)
    }

    fn sorted(server: &str, what: What) -> Failure {
        let error = StoreError::Generic { store: "S3", source: "x".into() };
        Failure::sorted(&error, Some(&Heard { server: server.into(), what }))
    }

    #[test]
    fn servers_that_cannot_be_reached_are_told_apart() {
        let not_connected = |server: &str, why: &str| sorted(server, What::NotConnected { why: why.into() });
        let refused = not_connected("a:1", "Connection refused (os error 111)");
        assert_eq!((refused.kind, &*refused.why), (Kind::Passing, "the connection to a:1 was refused"));
        let untrusted = not_connected("a:1", "invalid peer certificate: UnknownIssuer");
        assert!(untrusted.kind == Kind::Refused && untrusted.why.contains("not trusted"));
        let nameless =
            not_connected("a:1", "failed to lookup address information: Name or service not known");
        assert!(nameless.kind == Kind::Passing && nameless.why.contains("Name or service not known"));
        let silent = sorted("a:1", What::NoAnswer { why: "time-out".into() });
        assert_eq!(silent.kind, Kind::Unknown);
        // Nothing was configured, and the library asks the cloud's metadata service, which is not there.
        let keyless = not_connected("169.254.169.254", "no route to host");
        assert!(keyless.kind == Kind::Refused && keyless.why.contains("there are no credentials"));
    }

    #[test]
    fn answers_are_sorted_by_what_to_do() {
        for (status, code, message, kind, says) in [
            (404, "NoSuchKey", "", Kind::NotFound, ""),
            (404, "NoSuchBucket", "gone", Kind::Refused, "no such bucket (404 NoSuchBucket: gone)"),
            (404, "404", "The specified bucket does not exist.", Kind::Refused, "no such bucket"),
            (403, "SignatureDoesNotMatch", "", Kind::Refused, "credentials were refused"),
            (403, "RequestTimeTooSkewed", "", Kind::Refused, "clock"),
            (400, "ExpiredToken", "", Kind::Refused, "credentials"),
            (403, "QuotaExceeded", "", Kind::Full, "no room"),
            (409, "ConditionalRequestConflict", "", Kind::Busy, "by others"),
            (409, "BlobAlreadyExists", "", Kind::AlreadyExists, ""),
            (412, "PreconditionFailed", "", Kind::AlreadyExists, ""),
            (416, "InvalidRange", "", Kind::NoSuchRange, ""),
            (301, "PermanentRedirect", "", Kind::Refused, "region"),
            (503, "SlowDown", "", Kind::Passing, "wait"),
            (500, "InternalError", "", Kind::Unknown, "failed"),
            (501, "NotImplemented", "", Kind::Refused, "refused the request"),
        ] {
            let (found, why) = answered(status, code, message);
            assert_eq!(found, kind, "{status} {code}");
            assert!(why.contains(says), "{why}");
        }
    }
}
