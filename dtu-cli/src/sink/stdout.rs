//! JSON lines on stdout: kept for good as soon as they are written and flushed.

use super::worker::Worker;
use super::{Batch, Sink, SinkError, Storing};
use std::io::{self, Write};

/// Writes lines to whoever reads this process. A reader that does not read holds up the sink and nothing else; one that is
/// gone ends the gateway, as nobody could take its place.
pub(crate) struct StdoutSink {
    out: Worker<Box<dyn Write + Send>>,
}

impl StdoutSink {
    /// # Errors
    ///
    /// When the system gives no thread.
    pub(crate) fn new() -> io::Result<Self> {
        Self::to(io::stdout())
    }

    fn to(out: impl Write + Send + 'static) -> io::Result<Self> {
        let out: Box<dyn Write + Send> = Box::new(out);
        Ok(Self { out: Worker::start("stdout", out)? })
    }
}

impl Sink for StdoutSink {
    fn name(&self) -> &'static str {
        "stdout"
    }

    fn store<'a>(&'a mut self, batch: &'a Batch) -> Storing<'a> {
        let lines = batch.shared_lines();
        Box::pin(async move {
            let written = self.out.run(move |out| out.write_all(&lines).and_then(|()| out.flush())).await;
            match written {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(SinkError::Gone(format!("cannot write events to stdout: {error}"))),
                Err(_) => Err(SinkError::Gone("the thread that writes to stdout is gone".into())),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::batch::tests::batch;

    struct Broken;

    impl Write for Broken {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    #[tokio::test]
    async fn lines_that_are_written_and_not_flushed_are_not_kept() {
        let error = StdoutSink::to(Broken).unwrap().store(&batch(&["{}"])).await.unwrap_err();
        assert!(matches!(&error, SinkError::Gone(text) if text.contains("cannot write events to stdout")), "{error}");
    }
}
