//! What the backend makes of answers, of lost ones and of none.

use std::time::{Duration, Instant};

use walkeep_core::{Error, UnixMillis};

use super::server::{CANARY, Reply, Request, Server, config, open};
use super::*;

fn body() -> Body {
    Body::from(b"ours".to_vec())
}

async fn put(object: &Object) -> Result<()> {
    object.put_new(None, &path("a/b"), body()).await
}

async fn get(object: &Object) -> Result<Bytes> {
    object.get(None, &path("a/b"), ByteRange::Full).await
}

async fn list(object: &Object, limit: usize) -> Result<Vec<ObjectMeta>> {
    let (prefix, after) = (path("a"), path("a/1"));
    object.list(None, &prefix, Some(&after), limit).try_collect().await
}

async fn every_call(object: &Object) -> Vec<Error> {
    vec![
        put(object).await.unwrap_err(),
        get(object).await.unwrap_err(),
        list(object, 1).await.unwrap_err(),
        object.list_directories(None, &path("a"), None, 1).try_collect::<Vec<_>>().await.unwrap_err(),
        object.delete(None, &[path("a/b")]).await.unwrap_err(),
    ]
}

/// Runs something that must end within so many seconds.
#[expect(clippy::disallowed_methods, reason = "this measures the real time that a real connection takes")]
async fn within<T>(seconds: u64, work: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let done = work.await;
    let took = start.elapsed();
    assert!(took < Duration::from_secs(seconds), "it took {took:?}");
    done
}

/// A server whose first answer to a put is lost, and which has this object then.
async fn lost_reply(stored: &'static [u8]) -> Server {
    Server::start(move |request, nth| match (request.method.as_str(), nth) {
        ("PUT", 0) => Reply::Nothing,
        ("PUT", _) => Reply::status(412, "PreconditionFailed", ""),
        _ => Reply::ok(stored),
    })
    .await
}

#[tokio::test]
async fn a_create_whose_answer_was_lost_meets_its_own_object_and_is_done() {
    let server = lost_reply(b"ours").await;
    put(&server.open(5)).await.unwrap();
    assert_eq!(server.methods(), "PUT PUT GET");
    assert!(server.requests().iter().all(|request| request.target == "/bucket/p/a/b"));
    assert_eq!(server.requests()[1].body, b"ours");
}

#[tokio::test]
async fn a_create_whose_answer_was_lost_and_meets_another_object_has_lost() {
    for other in [&b"them"[..], b"theirs"] {
        let outcome = put(&lost_reply(other).await.open(5)).await;
        assert!(matches!(outcome, Err(Error::AlreadyExists { .. })), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_create_that_was_answered_is_not_read_back() {
    // An equal object that was there before is not ours: nothing of this call was lost.
    let server = Server::start(|request, _| match request.method.as_str() {
        "PUT" => Reply::status(412, "PreconditionFailed", ""),
        _ => Reply::ok("ours"),
    })
    .await;
    let outcome = put(&server.open(5)).await;
    assert!(matches!(outcome, Err(Error::AlreadyExists { .. })), "{outcome:?}");
    assert_eq!(server.methods(), "PUT");
}

#[tokio::test]
async fn a_conflict_that_stored_nothing_is_tried_again() {
    let server = Server::start(|_, nth| match nth {
        0 => Reply::status(409, "ConditionalRequestConflict", "again, please"),
        _ => Reply::ok(""),
    })
    .await;
    put(&server.open(5)).await.unwrap();
    assert_eq!(server.methods(), "PUT PUT");

    let server = Server::start(|_, _| Reply::status(409, "ConditionalRequestConflict", "")).await;
    let error = within(3, put(&server.open(1))).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "never `AlreadyExists`: {error:?}");
    assert!(error.to_string().contains("by others"), "{error}");
}

#[tokio::test]
async fn a_server_that_asks_to_wait_is_asked_again() {
    let server = Server::start(|_, nth| match nth {
        0 => Reply::status(503, "SlowDown", ""),
        1 => Reply::status(429, "", ""),
        _ => Reply::ok("ours"),
    })
    .await;
    assert_eq!(get(&server.open(10)).await.unwrap(), &b"ours"[..]);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_read_again() {
    let server = Server::start(|_, nth| match nth {
        0 => Reply::Short { len: 4, body: b"ou".to_vec() },
        _ => Reply::ok("ours"),
    })
    .await;
    assert_eq!(get(&server.open(5)).await.unwrap(), &b"ours"[..]);
    assert_eq!(server.methods(), "GET GET");
}

#[tokio::test]
async fn a_range_that_begins_at_the_end_is_empty_whatever_the_server_says_to_it() {
    let odd =
        "Content-Range: bytes 0--1/4\r\nETag: \"x\"\r\nLast-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
    let odd = Reply::Answer { status: 206, headers: odd, body: Vec::new() };
    for answer in [Reply::status(416, "InvalidRange", ""), odd, Reply::ok("ours")] {
        let server = Server::start(move |request, _| match request.method.as_str() {
            "HEAD" => Reply::ok("ours"),
            _ => answer.clone(),
        })
        .await;
        let read = server.open(60).get(None, &path("a/b"), ByteRange::From(4)).await;
        assert!(read.unwrap().is_empty());
        assert!(server.requests().len() <= 2, "nothing is repeated: {}", server.methods());
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_understood_is_said_at_once() {
    let server = Server::start(|_, _| Reply::ok("<html>a portal of some hotel")).await;
    let error = within(5, list(&server.open(60), 1)).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_yes_that_turns_into_a_failure_is_tried_again() {
    let failure = "<Error><Code>InternalError</Code></Error>";
    let deleted = "<DeleteResult><Deleted><Key>p/a/b</Key></Deleted></DeleteResult>";
    let server = Server::start(move |_, nth| Reply::ok(if nth == 0 { failure } else { deleted })).await;
    server.open(5).delete(None, &[path("a/b")]).await.unwrap();
    assert_eq!(server.methods(), "POST POST");
}

#[tokio::test]
async fn a_refused_connection_is_said_in_time() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    for error in within(10, every_call(&open(closed, 1))).await {
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        assert!(
            error.to_string().contains(&format!("the connection to 127.0.0.1:{closed} was refused")),
            "{error}"
        );
        assert!(error.is_retryable());
    }
}

#[tokio::test]
async fn a_server_that_keeps_silent_is_said_in_time() {
    let server = Server::start(|_, _| Reply::Silence).await;
    for error in within(10, every_call(&server.open(1))).await {
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        assert!(error.to_string().contains("time-out"), "{error}");
    }
}

#[tokio::test]
async fn what_cannot_pass_is_said_at_once_and_says_which() {
    for (status, code, message, says) in [
        (403, "SignatureDoesNotMatch", "no", "the credentials were refused (403 SignatureDoesNotMatch: no)"),
        (403, "RequestTimeTooSkewed", "late", "the clock of this machine"),
        (404, "NoSuchBucket", "gone", "there is no such bucket (404 NoSuchBucket: gone)"),
        (301, "PermanentRedirect", "", "set the region"),
    ] {
        let server = Server::start(move |_, _| Reply::status(status, code, message)).await;
        for error in within(10, every_call(&server.open(60))).await {
            assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
            assert!(error.to_string().contains(says), "{error}");
            assert!(error.to_string().contains("s3://bucket/p/a"), "{error}");
        }
        assert_eq!(server.requests().len(), 5, "nothing is repeated");
    }
    let full = Server::start(|_, _| Reply::status(507, "XMinioStorageFull", "")).await;
    assert!(matches!(put(&full.open(60)).await, Err(Error::Exhausted { .. })));
}

#[tokio::test]
async fn a_server_that_repeats_a_secret_does_not_get_it_into_an_error() {
    let echo =
        || Server::start(|_, _| Reply::status(403, CANARY, &format!("your key is {CANARY}, is it not?")));
    for error in every_call(&echo().await.open(5)).await {
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(CANARY) && shown.contains("your key is (secret)"), "{shown}");
    }
    let full = Server::start(|_, _| Reply::status(507, CANARY, "")).await;
    assert!(!format!("{:?}", put(&full.open(5)).await).contains(CANARY));
    let garbage = Server::start(|_, _| Reply::ok(format!("<{CANARY}"))).await;
    assert!(!format!("{:?}", list(&garbage.open(1), 1).await.unwrap_err()).contains(CANARY));
}

#[tokio::test]
async fn finding_the_next_object_is_one_request_for_one_key() {
    let answer = "<ListBucketResult><Contents><Key>p/a/2</Key><Size>7</Size>\
                  <LastModified>1970-01-01T00:00:05Z</LastModified></Contents>\
                  <NextContinuationToken>more</NextContinuationToken></ListBucketResult>";
    let server = Server::start(move |_, _| Reply::ok(answer)).await;
    let found = list(&server.open(5), 1).await.unwrap();
    assert_eq!(found, [ObjectMeta { path: path("a/2"), size: 7, modified: Some(UnixMillis(5000)) }]);
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    for part in ["max-keys=1", "start-after=p%2Fa%2F1", "prefix=p%2Fa%2F"] {
        assert!(requests[0].target.contains(part), "{}", requests[0].target);
    }
}

#[tokio::test]
async fn a_store_that_lists_one_page_for_ever_is_refused() {
    let answer = "<ListBucketResult><NextContinuationToken>same</NextContinuationToken></ListBucketResult>";
    let server = Server::start(move |_, _| Reply::ok(answer)).await;
    let error = within(5, list(&server.open(60), 9)).await.unwrap_err();
    assert!(error.to_string().contains("the same page again"), "{error}");
}

#[tokio::test]
async fn a_foreign_key_that_cannot_be_read_is_said() {
    let answer = "<ListBucketResult><Contents><Key>p/a//x</Key><Size>7</Size>\
                  <LastModified>1970-01-01T00:00:00Z</LastModified></Contents></ListBucketResult>";
    let server = Server::start(move |_, _| Reply::ok(answer)).await;
    let error = within(5, list(&server.open(60), 9)).await.unwrap_err();
    assert!(error.to_string().contains("foreign object"), "{error}");
}

/// A server that takes an upload in parts; its answer to the completion is lost.
fn upload(request: &Request, nth: usize, stored: usize) -> Reply {
    match (request.method.as_str(), request.target.split_once('?').map(|(_, query)| query)) {
        ("HEAD", _) if nth < 6 => Reply::status(404, "", ""),
        ("HEAD", _) => Reply::ok(vec![0; stored]),
        ("POST", Some(query)) if query.starts_with("uploads") => {
            Reply::ok("<InitiateMultipartUploadResult><UploadId>7</UploadId></InitiateMultipartUploadResult>")
        }
        ("POST", _) if nth < 7 => Reply::Nothing,
        ("POST", _) => Reply::status(404, "NoSuchUpload", ""),
        _ => Reply::ok(""),
    }
}

#[tokio::test]
async fn an_upload_in_parts_whose_last_answer_was_lost_is_looked_for() {
    let put_parts = async |stored: usize| {
        let server = Server::start(move |request, nth| upload(request, nth, stored)).await;
        let object = Object::new(config(server.port, 5).with_parts(100, 100));
        let outcome = object.put_new(None, &path("a/b"), Body::from(vec![1; 250])).await;
        (outcome, server.methods())
    };
    let (done, methods) = put_parts(250).await;
    done.unwrap();
    assert_eq!(methods, "HEAD POST PUT PUT PUT HEAD POST POST HEAD");
    let (other, _) = put_parts(7).await;
    assert!(matches!(other, Err(Error::Unknown { .. })), "{other:?}");
}

#[tokio::test]
async fn an_upload_in_parts_that_fails_is_taken_back() {
    let server = Server::start(|request, _| match request.method.as_str() {
        "HEAD" => Reply::status(404, "", ""),
        "POST" => {
            Reply::ok("<InitiateMultipartUploadResult><UploadId>7</UploadId></InitiateMultipartUploadResult>")
        }
        "PUT" => Reply::status(403, "AccessDenied", ""),
        _ => Reply::ok(""),
    })
    .await;
    let object = Object::new(config(server.port, 5).with_parts(100, 300));
    let error = object.put_new(None, &path("a/b"), Body::from(vec![1; 250])).await.unwrap_err();
    assert!(error.to_string().contains("credentials were refused"), "{error}");
    assert_eq!(server.methods(), "HEAD POST PUT DELETE");
}
