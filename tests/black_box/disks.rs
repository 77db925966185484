//! A disk that fills up: writes are refused, reads go on, and writes come back with the space, without a restart.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::harness::{Cluster, Load, wait_until};

/// What the node keeps free of its volume.
const RESERVE: u64 = 8 * 1024 * 1024;

/// A small volume in memory, unmounted when dropped.
struct Volume(TempDir);

impl Volume {
    /// `None`, with a message, where mounting is not permitted.
    fn mount(bytes: u64) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let size = format!("size={bytes}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder)),
            Ok(output) => {
                println!(
                    "skipped: cannot mount a tmpfs: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
                None
            }
            Err(error) => {
                println!("skipped: cannot mount a tmpfs: {error}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file until so many bytes are free, or a few less.
    fn fill_but(&self, free_bytes: u64) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap();
        let free = || {
            let volume = rustix::fs::statvfs(self.path()).unwrap();
            volume.f_bavail * volume.f_frsize
        };
        while free() > free_bytes {
            file.write_all(&[7; 64 * 1024]).unwrap();
        }
        path
    }

    /// Writes to that file until nothing fits any more.
    fn fill(&self) {
        let path = self.path().join("filler");
        let error = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| std::io::copy(&mut std::io::repeat(7), &mut file))
            .unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Lazily: on a failure a process may still be there.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_on_a_full_disk_are_refused_and_come_back_without_a_restart() {
    let Some(volume) = Volume::mount(96 * 1024 * 1024) else {
        return;
    };
    let options = format!("[storage]\ndisk_reserve_bytes = {RESERVE}\nmemtable_bytes = 2097152\n");
    let cluster = Cluster::prepare(&options).await;
    let (us, eu) = (cluster.us(), cluster.eu());
    us.set_data(&volume.path().join("data"));
    for region in cluster.regions() {
        region.start().await;
    }
    cluster.linked().await;
    us.put("k", "before").await;
    let mut all = crate::harness::Acknowledged::default();
    for round in 0..2 {
        let load = Load::start(us, &format!("round{round}"), 4);
        load.acknowledged(200).await;
        // Half of the reserve is left, and more than the load can write before the node looks at the volume again: the disk
        // is full for writes and not yet for the store.
        let filler = volume.fill_but(RESERVE / 2);
        let refusal = wait_until("writes are refused", async || {
            let answer = us.call("PUT", "/v1/data/shop/registers/full", "x").await;
            if answer.status == 503 {
                Ok(answer)
            } else {
                Err(answer.status)
            }
        })
        .await;
        let refusal = refusal.problem(503, "unavailable");
        assert!(refusal.text().contains("free"), "{}", refusal.text());
        // Two rounds of its four clients, so that members are among what was refused.
        load.refused(8).await;
        volume.fill();
        // Reads go on, and it says what is wrong.
        assert_eq!(us.get("k").await.unwrap(), b"before");
        assert!(us.keys("shop").await.contains(&"k".to_owned()));
        us.call("GET", "/health/live", "").await.expect(200);
        wait_until("the region asks for no traffic", async || {
            let answer = us.call("GET", "/health/region", "").await;
            if answer.status == 503 {
                Ok(())
            } else {
                Err(answer.text())
            }
        })
        .await;
        us.waits_for_state("unhealthy").await;
        // The others are not concerned; what they write waits.
        eu.put("elsewhere", round.to_string()).await;
        cluster.converged_among(&[1, 2]).await;
        // Refused writes go on being refused while there is load.
        let acknowledged = load.finish().await;
        assert!(!acknowledged.refused.is_empty());
        std::fs::remove_file(filler).unwrap();
        wait_until("writes are taken again", async || {
            let answer = us.call("PUT", "/v1/data/shop/registers/full", "y").await;
            if answer.status == 204 {
                Ok(())
            } else {
                Err(answer.text())
            }
        })
        .await;
        us.waits_for_state("healthy").await;
        acknowledged.survives_in(us).await;
        all.merge(acknowledged);
        cluster.converged().await;
        assert_eq!(us.get("elsewhere").await.unwrap(), round.to_string().as_bytes());
    }
    us.kill();
    us.start().await;
    cluster.converged().await;
    for region in cluster.regions() {
        all.is_all_in(region).await;
    }
    cluster.stop_and_verify().await;
}
