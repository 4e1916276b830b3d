//! Threads for the replays, one for each core, with their progress; a signal ends their work.

use std::{
    cell::Cell,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

use tokio::sync::oneshot;

use super::score::Plan;
use crate::output::progress::Progress;

const MINUTES_A_DAY: usize = 24 * 60;

/// What a replay returns; `None` if it was ended early.
type Replayed = Result<Option<Plan>, String>;
type Job = Box<dyn FnOnce() + Send>;

/// The threads of one run.
#[derive(Clone, Debug)]
pub struct Pool {
    jobs: mpsc::Sender<Job>,
    threads: usize,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    stopped: AtomicBool,
    progress: Progress,
}

impl Pool {
    /// Starts the threads for a number of simulated days.
    pub fn new(days: usize) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let (jobs, queue) = mpsc::channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads {
            let queue = queue.clone();
            // Detached: the process ends with what is done.
            std::thread::spawn(move || {
                let next = || queue.lock().ok()?.recv().ok();
                while let Some(job) = next() {
                    job();
                }
            });
        }
        let shared = Arc::new(Shared {
            stopped: AtomicBool::new(false),
            progress: Progress::days(days),
        });
        Self {
            jobs,
            threads,
            shared,
        }
    }

    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Whether a signal has ended the run.
    pub fn stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::Relaxed)
    }

    /// Ends the run at Ctrl-C: what is ready is printed.
    pub async fn stop_at_signal(&self) {
        // Without a handler for the signal it ends the process, as it does everywhere.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.shared.stopped.store(true, Ordering::Relaxed);
    }

    /// Counts days that need not be replayed as done.
    pub fn skip(&self, days: usize) {
        self.shared.progress.advance(days);
    }

    /// Queues a replay of a number of days; `work` gets a function to call before each minute, which
    /// says whether to go on.
    pub fn run<W>(&self, days: usize, work: W) -> impl Future<Output = Replayed> + use<W>
    where
        W: FnOnce(&dyn Fn(usize) -> bool) -> Replayed + Send + 'static,
    {
        let (done, replayed) = oneshot::channel();
        let shared = self.shared.clone();
        let job = move || {
            let replayed = Cell::new(0);
            let goes_on = |minute: usize| {
                if minute > 0 && minute.is_multiple_of(MINUTES_A_DAY) {
                    replayed.set(replayed.get() + 1);
                    shared.progress.advance(1);
                }
                !shared.stopped.load(Ordering::Relaxed)
            };
            let result = match goes_on(0) {
                true => work(&goes_on),
                false => Ok(None),
            };
            // The last day, which may be a part of one.
            shared.progress.advance(days.saturating_sub(replayed.get()));
            // After a signal nobody waits for it.
            let _ = done.send(result);
        };
        // The threads end only with the pool, and a job that cannot be sent is one without result.
        let _ = self.jobs.send(Box::new(job));
        async move {
            replayed
                .await
                .unwrap_or_else(|_| Err("its thread has panicked".to_owned()))
        }
    }
}
