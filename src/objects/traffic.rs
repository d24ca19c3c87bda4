//! Where the client hands requests to the network: counts them, and cuts the bodies of answers that are errors.
//!
//! The client above reads such a body whole, and forgets the status of one that is not text: what comes from a
//! malicious server, or from a proxy, must take little memory and still be identified by its status.
//!
//! Not for: showing the counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::StreamExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};

use super::first_contact::FirstContact;

/// Bytes of an answer that is an error which are read: 64 KiB.
const MAX_TEXT: usize = 64 << 10;

/// What went over the network so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests, those that were sent again included.
    pub requests: u64,
    /// Bytes of bodies that were sent, those that were sent again included.
    pub sent: u64,
    /// Bytes of objects that were received.
    pub received: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    requests: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Counts {
    pub(super) fn traffic(&self) -> Traffic {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Traffic { requests: of(&self.requests), sent: of(&self.sent), received: of(&self.received) }
    }

    pub(super) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// Makes clients that count.
#[derive(Debug)]
pub(super) struct Counting(pub(super) Arc<Counts>);

impl HttpConnector for Counting {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Counted { client, counts: Arc::clone(&self.0), contact: FirstContact::default() }))
    }
}

#[derive(Debug)]
struct Counted {
    client: HttpClient,
    counts: Arc<Counts>,
    contact: FirstContact,
}

#[async_trait]
impl HttpService for Counted {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.counts.requests.fetch_add(1, Ordering::Relaxed);
        self.counts.sent.fetch_add(request.body().content_length() as u64, Ordering::Relaxed);
        let answer = self.contact.judge(self.client.execute(request).await)?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let (head, body) = answer.into_parts();
        let mut pieces = body.bytes_stream();
        let mut text = Vec::new();
        // An answer whose body breaks off still has its status.
        while let Some(Ok(piece)) = pieces.next().await {
            text.extend_from_slice(&piece[..piece.len().min(MAX_TEXT - text.len())]);
            if text.len() == MAX_TEXT {
                break;
            }
        }
        Ok(HttpResponse::from_parts(head, String::from_utf8_lossy(&text).into_owned().into()))
    }
}
