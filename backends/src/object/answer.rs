//! What a server answered: `object_store` tells its callers less than they need to know.
//!
//! Every request of every client goes through [`Listener`]. It leaves what it heard where [`heard`] finds it: in a
//! slot of the task that waits for the request. Nothing of a request is kept, so no secret is.

use std::cell::RefCell;
use std::future::Future;

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};

tokio::task_local! {
    static SLOT: RefCell<Option<Heard>>;
}

/// The most bytes of an answer that are looked at, and of a message that are kept.
const ANSWER_LEN_MAX: usize = 64 << 10;
const MESSAGE_LEN_MAX: usize = 300;

/// The last answer of a server that was not a success, or why there was none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// The server.
    pub(super) server: String,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// It answered with a status, and perhaps with a code and a message of the service.
    Status { status: u16, code: String, message: String },
    /// It could not be reached; nothing was sent.
    NotConnected { why: String },
    /// There was no answer, or it broke off.
    NoAnswer { why: String },
}

impl What {
    /// Whether it is the bucket that is missing, not an object in it.
    pub(super) fn is_no_such_bucket(&self) -> bool {
        let Self::Status { status: 404, code, message } = self else { return false };
        let message = message.to_ascii_lowercase();
        matches!(code.as_str(), "NoSuchBucket" | "ContainerNotFound")
            || ["bucket does not exist", "bucket was not found"].iter().any(|said| message.contains(said))
    }
}

/// Runs one attempt, and returns what was heard last from a server that did not say yes.
pub(super) async fn heard<T>(attempt: impl Future<Output = T>) -> (T, Option<Heard>) {
    SLOT.scope(RefCell::new(None), async {
        let outcome = attempt.await;
        (outcome, SLOT.with(|slot| slot.borrow_mut().take()))
    })
    .await
}

fn leave(heard: Option<Heard>) {
    // A request outside of an attempt has nobody who asks.
    let _ = SLOT.try_with(|slot| *slot.borrow_mut() = heard);
}

/// Makes clients that leave what they hear.
#[derive(Debug, Default)]
pub(super) struct Connector(ReqwestConnector);

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Listener(self.0.connect(options)?)))
    }
}

#[derive(Debug)]
struct Listener(HttpClient);

#[async_trait]
impl HttpService for Listener {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let server = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let response = match self.0.execute(request).await {
            Ok(response) => response,
            Err(error) => {
                leave(Some(Heard { server, what: transport(&error) }));
                return Err(error);
            }
        };
        if response.status().is_success() {
            leave(None);
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let body = body.bytes().await?;
        let text = String::from_utf8_lossy(body.get(..ANSWER_LEN_MAX).unwrap_or(&body));
        let what = What::Status {
            status: parts.status.as_u16(),
            code: field(&text, "code").unwrap_or_default(),
            message: field(&text, "message").unwrap_or_default(),
        };
        let no_such_bucket = what.is_no_such_bucket();
        leave(Some(Heard { server, what }));
        if no_such_bucket {
            // To the library this would be a missing object, and that is what deletions want.
            return Err(HttpError::new(
                HttpErrorKind::Unknown,
                std::io::Error::other("there is no such bucket"),
            ));
        }
        Ok(HttpResponse::from_parts(parts, body.into()))
    }
}

fn transport(error: &HttpError) -> What {
    // The deepest cause says it best: "Connection refused", "certificate has expired".
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let why = shortened(&cause.to_string());
    match error.kind() {
        HttpErrorKind::Connect => What::NotConnected { why },
        HttpErrorKind::Timeout => What::NoAnswer { why: "time-out".into() },
        _ => What::NoAnswer { why },
    }
}

/// The content of a field in an answer in XML (S3, Azure) or JSON (Google).
fn field(text: &str, name: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let value = if let Some(at) = lower.find(&format!("<{name}>")) {
        let rest = text.get(at + name.len() + 2..)?;
        rest.get(..rest.find('<')?)?
    } else {
        let at = lower.find(&format!("\"{name}\":"))?;
        let rest = text.get(at + name.len() + 3..)?.trim_start();
        match rest.strip_prefix('"') {
            Some(quoted) => quoted.get(..quoted.find('"')?)?,
            None => rest.get(..rest.find([',', '}'])?)?.trim(),
        }
    };
    Some(shortened(value))
}

/// A text for a message: one line, not too long.
pub(super) fn shortened(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() > MESSAGE_LEN_MAX {
        let end = (0..=MESSAGE_LEN_MAX).rev().find(|end| line.is_char_boundary(*end)).unwrap_or_default();
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_messages_are_found_in_xml_and_in_json() {
        let xml = "<?xml version=\"1.0\"?><Error><Code>NoSuchBucket</Code><Message>There is\n none</Message></Error>";
        assert_eq!(field(xml, "code").as_deref(), Some("NoSuchBucket"));
        assert_eq!(field(xml, "message").as_deref(), Some("There is none"));
        let json = r#"{"error": {"code": 404, "message": "No such bucket", "errors": []}}"#;
        assert_eq!(field(json, "code").as_deref(), Some("404"));
        assert_eq!(field(json, "message").as_deref(), Some("No such bucket"));
        for text in ["", "<html>", "<code>", "{\"code\":", "{\"code\":\"x", "İ<code>é</code>"] {
            let _ = field(text, "code");
        }
        assert_eq!(field("x<Code></Code>", "code").as_deref(), Some(""));
    }

    #[test]
    fn long_texts_are_shortened_between_characters() {
        let short = shortened(&"é".repeat(400));
        assert!(short.len() <= MESSAGE_LEN_MAX + 3 && short.ends_with('…'));
    }
}
