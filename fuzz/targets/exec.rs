//! Parses the SPDY frames of an exec, as an API server sends them. The result does not depend on how the connection
//! splits them.
#![no_main]

use std::pin::Pin;
use std::task::{Context, Poll};

use libfuzzer_sys::fuzz_target;
use remote_buildkit::fuzz::run_exec;
use tokio::io::{AsyncRead, ReadBuf, join, sink};
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().build().expect("a runtime");
}

/// A reader that returns at most a number of bytes at once.
struct Pieces<'d>(&'d [u8], usize);

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let size = self.0.len().min(self.1).min(into.remaining());
        let (piece, rest) = self.0.split_at(size);
        into.put_slice(piece);
        self.0 = rest;
        Poll::Ready(Ok(()))
    }
}

/// Returns the result of an exec whose data is read in pieces of this size.
fn outcome(data: &[u8], piece_size: usize) -> Result<Vec<u8>, String> {
    let connection = join(Pieces(data, piece_size), sink());
    let output = RUNTIME.with(|runtime| runtime.block_on(run_exec(connection)));
    output.map_err(|error| format!("{error:#}"))
}

fuzz_target!(|data: &[u8]| {
    assert_eq!(outcome(data, usize::MAX), outcome(data, 7));
});
