//! A connection that ends when its client is idle, or does not take what is written, for too long.
//!
//! Timers are set when a read or a write has to wait, and left alone while there is progress: a busy connection costs
//! no timer. A client is therefore cut off after one to two times the limit.
//!
//! Not for: how long a request may take from its first byte to its last (`resp::connection`).

use std::future::Future;
use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// A connection with limits on waiting.
pub struct PatientStream<S> {
    inner: S,
    reading: Patience,
    writing: Patience,
}

/// The longest wait in one direction.
struct Patience {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    has_progress: bool,
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Self { limit, timer: None, has_progress: false }
    }

    /// Whether there was no progress for too long. Otherwise the task is woken to ask again.
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        while timer.as_mut().poll(context).is_ready() {
            if !std::mem::take(&mut self.has_progress) {
                return true;
            }
            timer.as_mut().reset(Instant::now() + limit);
        }
        false
    }

    fn outcome<T>(&mut self, polled: Poll<Result<T>>, context: &mut Context<'_>) -> Poll<Result<T>> {
        match polled {
            Poll::Ready(done) => {
                self.has_progress = true;
                Poll::Ready(done)
            }
            Poll::Pending if self.is_over(context) => Poll::Ready(Err(Error::from(ErrorKind::TimedOut))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S> PatientStream<S> {
    /// Limits the waits of a connection.
    pub fn new(inner: S, idle: Duration, writing: Duration) -> Self {
        Self { inner, reading: Patience::new(idle), writing: Patience::new(writing) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PatientStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        self.reading.outcome(polled, context)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PatientStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.reading.has_progress |= polled.is_ready();
        self.writing.outcome(polled, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(context);
        self.writing.outcome(polled, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_shutdown(context);
        self.writing.outcome(polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.reading.has_progress |= polled.is_ready();
        self.writing.outcome(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
