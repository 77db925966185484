//! One node of a cluster: its process, its files, and its life. Or a whole region of several, as tests see it that ask
//! nothing of single nodes: any of them answers, and all of them live and die together.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::command::atoll_command;
use super::{DEADLINE, POLL, wait_until};

/// Bytes of a log that are printed when a test fails.
const LOG_SHOWN_BYTES: usize = 6_000;

/// A node and, while it runs, its process.
pub(crate) struct Node {
    /// The name of its region.
    pub(crate) id: &'static str,
    /// Which of its region's nodes it is, from 1.
    number: usize,
    /// The port of HTTP (TCP) and of QUIC (UDP).
    pub(crate) port: u16,
    pub(super) client: reqwest::Client,
    cluster: String,
    folder: PathBuf,
    data: Mutex<PathBuf>,
    process: Mutex<Option<Child>>,
    /// The others of the region for which it stands.
    pub(super) fellows: Vec<Arc<Node>>,
    /// Calls that it was asked for: they go to all nodes in turn.
    calls: AtomicUsize,
}

/// Why a process did not come up.
#[derive(Debug)]
pub(crate) struct NotStarted {
    /// What it wrote since it was started.
    pub(crate) log: String,
    /// How it ended.
    pub(crate) status: ExitStatus,
}

impl Node {
    pub(super) fn new(cluster: &str, folder: &Path, id: &'static str, number: usize, port: u16) -> Self {
        // No kept connections: those to a killed process would fail the first call to the next.
        let client = reqwest::Client::builder()
            .pool_max_idle_per_host(0)
            .timeout(DEADLINE)
            .no_proxy()
            .build()
            .unwrap();
        Self {
            id,
            number,
            port,
            client,
            cluster: cluster.to_owned(),
            folder: folder.to_owned(),
            data: Mutex::new(folder.join(format!("{id}-{number}"))),
            process: Mutex::new(None),
            fellows: Vec::new(),
            calls: AtomicUsize::new(0),
        }
    }

    /// Lets it stand for its region, of which these are the others.
    pub(super) fn standing_for(mut self, fellows: Vec<Arc<Self>>) -> Self {
        self.fellows = fellows;
        self
    }

    /// It and those for which it stands.
    pub(super) fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.fellows.iter().map(|fellow| &**fellow))
    }

    /// Whose turn it is to be asked.
    pub(super) fn turn(&self) -> &Self {
        let count = self.calls.fetch_add(1, Ordering::Relaxed);
        self.all().nth(count % (1 + self.fellows.len())).unwrap_or(self)
    }

    /// Its name.
    pub(crate) fn node(&self) -> String {
        format!("{}-{}", self.id, self.number)
    }

    /// Where it serves HTTP.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its configuration file; each node has a copy, so that a test can change one.
    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join(format!("{}.toml", self.node()))
    }

    /// Changes its configuration, for the next start.
    pub(crate) fn edit_config(&self, edit: impl Fn(String) -> String) {
        for node in self.all() {
            let text = std::fs::read_to_string(node.config()).unwrap();
            std::fs::write(node.config(), edit(text)).unwrap();
        }
    }

    /// Its data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.data.lock().unwrap().clone()
    }

    /// Puts its data elsewhere, for the next start.
    pub(crate) fn set_data(&self, folder: &Path) {
        *self.data.lock().unwrap() = folder.to_owned();
    }

    /// Where its certificates are; each node has a folder, so that a test can change one.
    pub(crate) fn certificates(&self) -> PathBuf {
        self.folder.join(format!("{}-certs", self.node()))
    }

    /// All that its processes have logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read(self.log_path()).map_or(String::new(), |bytes| {
            String::from_utf8_lossy(&bytes).into_owned()
        })
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.node()))
    }

    /// Starts the process without waiting for anything.
    pub(crate) fn spawn(&self, extra: &[&str]) {
        for node in self.all() {
            node.spawn_one(extra);
        }
    }

    fn spawn_one(&self, extra: &[&str]) {
        let mut process = self.lock();
        assert!(process.is_none(), "{} runs already", self.node());
        let log: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .unwrap();
        let child = atoll_command()
            .args(["serve", "--region", self.id, "--node", &self.node(), "--config"])
            .arg(self.config())
            .arg("--data")
            .arg(self.data())
            .arg("--certs")
            .arg(self.certificates())
            .args(extra)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        *process = Some(child);
    }

    /// Starts the process and waits until it serves.
    pub(crate) async fn start(&self) {
        self.start_with(&[]).await;
    }

    /// As [`Self::start`], with more arguments.
    pub(crate) async fn start_with(&self, extra: &[&str]) {
        futures_util::future::join_all(self.all().map(|node| node.start_one(extra))).await;
    }

    async fn start_one(&self, extra: &[&str]) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.try_start_one(extra).await {
                Ok(()) => return,
                // Some client on this machine may have been given the port for a moment.
                Err(failed) if failed.log.contains("in use") && Instant::now() < deadline => {
                    tokio::time::sleep(POLL).await;
                }
                Err(failed) => panic!(
                    "{} did not start ({}): {}",
                    self.node(),
                    failed.status,
                    failed.log
                ),
            }
        }
    }

    /// Starts the process and waits until it serves or has ended.
    pub(crate) async fn try_start(&self, extra: &[&str]) -> Result<(), NotStarted> {
        let starting = self.all().map(|node| node.try_start_one(extra));
        futures_util::future::try_join_all(starting).await.map(|_| ())
    }

    async fn try_start_one(&self, extra: &[&str]) -> Result<(), NotStarted> {
        let before = self.log().len();
        self.spawn_one(extra);
        wait_until(&format!("{} serves", self.node()), async || {
            if let Some(status) = self.ended() {
                let log = self.log().split_off(before);
                return Ok(Err(NotStarted { log, status }));
            }
            let asked = self.try_call_one("GET", "/v1/cluster/status", &[], Vec::new());
            match asked.await {
                Ok(answer) if answer.status == 200 && answer.json()["cluster"] == *self.cluster => Ok(Ok(())),
                Ok(answer) => Err(answer.text()),
                Err(error) => Err(format!("{error:?}")),
            }
        })
        .await
    }

    /// How the process has ended, if it has.
    fn ended(&self) -> Option<ExitStatus> {
        let mut process = self.lock();
        let status = process.as_mut()?.try_wait().unwrap()?;
        *process = None;
        Some(status)
    }

    /// Waits until the process has ended by itself.
    pub(crate) async fn wait_for_end(&self) -> ExitStatus {
        wait_until(&format!("{} ends", self.node()), async || {
            self.ended().ok_or("it runs")
        })
        .await
    }

    /// Sends a signal to the process.
    pub(crate) fn signal(&self, signal: Signal) {
        for node in self.all() {
            node.signal_one(signal);
        }
    }

    fn signal_one(&self, signal: Signal) {
        let process = self.lock();
        let child = process.as_ref().expect("the process runs");
        let id = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process(id, signal).unwrap();
    }

    /// Ends it with SIGKILL: no chance to do anything more.
    pub(crate) fn kill(&self) {
        let children = self
            .all()
            .map(|node| node.lock().take().expect("the process runs"));
        // All of them before the first is waited for: a region is lost at once.
        let mut children: Vec<Child> = children.collect();
        for child in &mut children {
            child.kill().unwrap();
        }
        for child in &mut children {
            child.wait().unwrap();
        }
    }

    /// Ends it with SIGTERM, which must end it cleanly.
    pub(crate) async fn stop(&self) {
        self.signal(Signal::TERM);
        for node in self.all() {
            let status = node.wait_for_end().await;
            assert_eq!(status.code(), Some(0), "{}: {}", node.node(), node.log());
        }
    }

    pub(super) fn print_logs(&self) {
        self.all().for_each(Self::print_log);
    }

    fn print_log(&self) {
        let log = self.log();
        let from = log.floor_char_boundary(log.len().saturating_sub(LOG_SHOWN_BYTES));
        eprintln!(
            "--- log of {} ({} bytes):\n{}",
            self.node(),
            log.len(),
            &log[from..]
        );
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.lock().take() {
            // An error means that it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
