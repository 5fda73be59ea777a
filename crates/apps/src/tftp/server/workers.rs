//! Threads for transfers: as many as there are cores to use, however many transfers there are.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Runtimes of one thread each. A transfer stays on one of them, with its socket and its timer.
#[derive(Debug)]
pub(super) struct Workers {
    /// The first is the one that the server runs on.
    handles: Vec<Handle>,
    others: Vec<Worker>,
    next: AtomicUsize,
}

#[derive(Debug)]
struct Worker {
    /// Dropped, the thread ends.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Workers {
    /// The current runtime and `threads - 1` more.
    ///
    /// # Errors
    /// No thread could be had.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub(super) fn new(threads: usize) -> io::Result<Workers> {
        let mut workers = Workers {
            handles: vec![Handle::current()],
            others: Vec::new(),
            next: AtomicUsize::new(0),
        };
        for _ in 1..threads {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(4)
                .build()?;
            workers.handles.push(runtime.handle().clone());
            let (stop, stopped) = oneshot::channel::<()>();
            let thread = thread::Builder::new().name("transfers".into()).spawn(move || {
                // An error: that is how it is told to end.
                let _ = runtime.block_on(stopped);
            })?;
            workers.others.push(Worker {
                stop: Some(stop),
                thread: Some(thread),
            });
        }
        Ok(workers)
    }
    /// Whose turn it is.
    pub(super) fn next(&self) -> &Handle {
        &self.handles[self.next.fetch_add(1, Relaxed) % self.handles.len()]
    }
}
impl Drop for Worker {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // With it end its transfers: what was half written is gone when this returns. Its panic was told already.
            let _ = thread.join();
        }
    }
}
