//! Bodies of requests: bounded in size, and in time for a peer that sends one slowly.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::Body;
use tokio::time::{Instant, timeout, timeout_at};

use super::problem::Problem;
use dantok_protocol::{ErrorCode, Refusal};

/// A body may take so many times as long as a peer may pause in it.
const PAUSES: u32 = 10;

/// Reads a whole body of at most `max` bytes. The peer may pause for `pause`.
///
/// # Errors
/// It is too long, which its length alone may tell; it is malformed, or its end does not arrive in time.
pub async fn read<B>(body: &mut B, max: usize, pause: Duration) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let too_long = || Problem::from(Refusal::new(ErrorCode::TooLong, format!("a body has at most {max} bytes here")));
    if body.size_hint().lower() > max as u64 {
        return Err(too_long());
    }
    let late = |_| {
        let text = "the body did not arrive in time";
        Problem::new(StatusCode::REQUEST_TIMEOUT, ErrorCode::BadArgument, text)
    };
    let deadline = Instant::now() + pause.saturating_mul(PAUSES);
    let mut whole = BytesMut::new();
    while let Some(frame) = timeout_at(deadline, timeout(pause, body.frame())).await.map_err(late)?.map_err(late)? {
        let frame = frame.map_err(|error| {
            Problem::new(StatusCode::BAD_REQUEST, ErrorCode::BadArgument, format!("the body is malformed: {error}"))
        })?;
        // Trailers say nothing here.
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > max {
            return Err(too_long());
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream::{self, Stream, StreamExt};
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    fn body(
        parts: impl Stream<Item = Result<&'static [u8], String>> + Unpin,
    ) -> impl Body<Data = Bytes, Error = String> + Unpin {
        StreamBody::new(parts.map(|part| part.map(|part| Frame::data(Bytes::from_static(part)))))
    }

    async fn status<B: Body<Data = Bytes> + Unpin>(mut body: B) -> Result<Bytes, u16>
    where
        B::Error: std::fmt::Display,
    {
        read(&mut body, 6, Duration::from_secs(1)).await.map_err(|problem| problem.status.as_u16())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_bounded_in_size_and_time() {
        let parts = |parts: &[&'static [u8]]| stream::iter(parts.iter().map(|part| Ok(*part)).collect::<Vec<_>>());
        assert_eq!(status(body(parts(&[b"abc", b"", b"def"]))).await, Ok(Bytes::from("abcdef")));
        assert_eq!(status(body(parts(&[]))).await, Ok(Bytes::new()));
        assert_eq!(status(body(parts(&[b"abc", b"defg"]))).await, Err(413));
        // By its length, before any of it is read.
        assert_eq!(status(Full::new(Bytes::from("abcdefg"))).await, Err(413));
        assert_eq!(status(body(stream::iter([Err("cut off".to_owned())]))).await, Err(400));
        assert_eq!(status(body(stream::pending())).await, Err(408));
        let slow = stream::repeat(Ok(&b""[..])).then(|part| async move {
            tokio::time::sleep(Duration::from_millis(900)).await;
            part
        });
        assert_eq!(status(body(Box::pin(slow))).await, Err(408));
    }
}
