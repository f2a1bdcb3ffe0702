//! The power goes at a random moment. The database lies on a disk that logs every write and flush; the
//! disk is then made again as a cut could have left it: all writes before the last flush, and of those
//! after it all, none, some, or all with the last one torn.
//!
//! The disk: a file behind QEMU's `blklogwrites` driver, exported by FUSE, as a loop device with ext4.
//! Each acknowledgement is written to a place behind the file system, so the log knows which
//! acknowledgements were given before which write.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alyx_tests::namespace::run;
use alyx_tests::wait_until;
use futures_util::future::join_all;

use crate::daemon::Site;
use crate::writers::{History, Outcome};
use crate::{have, in_own_namespace, rounds};

const MIB: u64 = 1 << 20;
const DISK_BYTES: u64 = 128 * MIB;
/// The file system ends here; acknowledgements are written behind it.
const MARK: u64 = 96 * MIB;
const SECTOR: u64 = 512;

const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;

/// The logged disk with its file system, mounted.
struct Disk {
    folder: tempfile::TempDir,
    qemu: Child,
    device: String,
}

impl Disk {
    async fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("alyx-power-").tempdir_in("/var/tmp").unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        for (name, bytes) in [("disk", DISK_BYTES), ("log", 4_096 * MIB), ("export", 0)] {
            File::create(path(name)).unwrap().set_len(bytes).unwrap();
        }
        fs::create_dir(path("mnt")).unwrap();
        let qemu = Command::new("qemu-storage-daemon")
            .args(["--blockdev", &format!("driver=file,node-name=d,filename={}", path("disk"))])
            .args(["--blockdev", &format!("driver=file,node-name=l,filename={}", path("log"))])
            .args(["--blockdev", "driver=blklogwrites,node-name=w,file=d,log=l,log-sector-size=512"])
            .args([
                "--export",
                &format!("type=fuse,id=e,node-name=w,mountpoint={},writable=on", path("export")),
            ])
            .spawn()
            .unwrap();
        wait_until("the disk to be there", Duration::from_secs(30), || {
            fs::metadata(path("export")).is_ok_and(|found| found.len() == DISK_BYTES)
        })
        .await;
        // With discards or direct I/O on the loop device the export answers with stale blocks.
        run("mkfs.ext4", &["-q", "-F", "-E", "nodiscard", &path("export"), &format!("{}k", MARK / 1024)]);
        run("mount", &["-o", "loop", &path("export"), &path("mnt")]);
        let device = run("findmnt", &["-no", "SOURCE", &path("mnt")]).trim().to_owned();
        Self { folder, qemu, device }
    }

    fn mount(&self) -> PathBuf {
        self.folder.path().join("mnt")
    }

    /// Unmounts it and reads what happened.
    fn into_log(mut self) -> Log {
        run("umount", &[self.mount().to_str().unwrap()]);
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(i32::try_from(self.qemu.id()).unwrap()),
            nix::sys::signal::Signal::SIGTERM,
        )
        .unwrap();
        self.qemu.wait().unwrap();
        Log::read(self.folder)
    }
}

/// One write or flush.
struct Entry {
    offset: u64,
    bytes: u64,
    flags: u64,
    /// Where its data is in the log.
    data: u64,
}

/// Everything that reached the disk, in order.
struct Log {
    folder: tempfile::TempDir,
    file: File,
    entries: Vec<Entry>,
    /// How many acknowledgements were given when an entry was written: entry and number.
    marks: Vec<(usize, u64)>,
}

impl Log {
    /// The format of dm-log-writes: a superblock, then each entry with its data.
    fn read(folder: tempfile::TempDir) -> Self {
        let file = File::open(folder.path().join("log")).unwrap();
        let number = |at: u64| {
            let mut bytes = [0; 8];
            file.read_exact_at(&mut bytes, at).unwrap();
            u64::from_le_bytes(bytes)
        };
        assert_eq!(number(0), 0x006a_7366_7773_6872, "a log of writes");
        let (count, mut at) = (number(16), SECTOR);
        let (mut entries, mut marks) = (Vec::new(), Vec::new());
        for index in 0..usize::try_from(count).unwrap() {
            let (offset, bytes, flags) = (number(at) * SECTOR, number(at + 8) * SECTOR, number(at + 16));
            let data = at + SECTOR;
            if offset == MARK && bytes > 0 {
                marks.push((index, number(data)));
            }
            at = data + if flags & DISCARD == 0 { bytes } else { 0 };
            entries.push(Entry { offset, bytes, flags, data });
        }
        assert!(marks.len() > 20, "{} acknowledgements in {count} writes", marks.len());
        Self { folder, file, entries, marks }
    }

    /// The disk after a cut, and how many acknowledgements had been given.
    fn cut(&self, random: &mut Random) -> (PathBuf, u64) {
        let first = self.marks[0].0 + 1;
        let cut = first + random.below(self.entries.len() - first);
        let flushed = self.entries[..cut].iter().rposition(|entry| entry.flags & FLUSH != 0).unwrap_or(0);
        let acknowledged = self.marks.iter().take_while(|(at, _)| *at < cut).map(|(_, number)| *number).max();
        let mode = random.below(4);
        let path = self.folder.path().join("image");
        let mut image = File::create(&path).unwrap();
        image.set_len(DISK_BYTES).unwrap();
        for (index, entry) in self.entries[..cut].iter().enumerate() {
            let mut bytes = entry.bytes;
            if index > flushed && entry.flags & FUA == 0 {
                match mode {
                    0 => continue,
                    1 if random.below(2) == 0 => continue,
                    2 if index == cut - 1 => {
                        bytes = SECTOR * random.below(bytes.div_ceil(SECTOR) as usize + 1) as u64
                    }
                    _ => {}
                }
            }
            let mut data = vec![0; usize::try_from(bytes.min(entry.bytes)).unwrap()];
            if entry.flags & DISCARD == 0 {
                self.file.read_exact_at(&mut data, entry.data).unwrap();
            }
            image.seek(SeekFrom::Start(entry.offset)).unwrap();
            image.write_all(&data).unwrap();
        }
        (path, acknowledged.unwrap_or(0))
    }
}

/// A sequence that its seed gives again (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

/// Takes the database out of the image as a start after the cut would find it.
fn recover(image: &Path, folder: &Path) -> PathBuf {
    let text = image.to_str().unwrap();
    // Its status tells that the journal was replayed.
    drop(Command::new("e2fsck").args(["-fyE", "journal_only", text]).output().unwrap());
    let database = folder.join("data.db");
    for suffix in ["", "-wal"] {
        let target = format!("{}{suffix}", database.display());
        drop(fs::remove_file(&target));
        drop(fs::remove_file(format!("{}-shm", database.display())));
        run("debugfs", &["-R", &format!("dump /site/data/data.db{suffix} {target}"), text]);
    }
    database
}

/// Writes, logs, cuts; answers how many of so many cuts lost an acknowledged write.
async fn losses(synchronous: &str, cuts: usize) -> usize {
    let disk = Disk::new().await;
    let site = Site::at(&disk.mount().join("site"))
        .with_config(&format!("database: {{ synchronous: {synchronous} }}\n"));
    let daemon = site.start().await;
    let mark = OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(&disk.device).unwrap();
    let (mark, told) = (Arc::new(mark), Arc::new(Mutex::new(Vec::new())));
    let (history, next) = (History::default(), Arc::new(AtomicUsize::new(0)));
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (history, client, told) = (history.clone(), daemon.client.clone(), Arc::clone(&told));
            let (mark, next) = (Arc::clone(&mark), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= 400 {
                        return;
                    }
                    let id = format!("e{number}");
                    let outcome = history.write(&client, &id, Some(1), &"x".repeat(number % 800)).await;
                    assert_eq!(outcome, Outcome::Acknowledged);
                    let mut told = told.lock().unwrap();
                    told.push(id);
                    write_mark(&mark, told.len() as u64);
                }
            })
        })
        .collect();
    for writer in join_all(writers).await {
        writer.unwrap();
    }
    daemon.kill().await;
    drop((mark, site));
    let told = Arc::into_inner(told).unwrap().into_inner().unwrap();
    let log = disk.into_log();
    let mut lost = 0;
    for seed in 1..=cuts {
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed as u64));
        let (image, acknowledged) = log.cut(&mut random);
        let database = recover(&image, log.folder.path());
        lost += usize::from(!holds(&database, &told[..usize::try_from(acknowledged).unwrap()], seed));
    }
    lost
}

/// `O_DIRECT` wants the memory aligned like the disk's sectors.
fn write_mark(device: &File, number: u64) {
    let buffer = vec![0_u8; 2 * SECTOR as usize];
    let start = buffer.as_ptr().align_offset(SECTOR as usize);
    let mut buffer = buffer;
    buffer[start..start + 8].copy_from_slice(&number.to_le_bytes());
    device.write_all_at(&buffer[start..start + SECTOR as usize], MARK).unwrap();
}

/// Whether everything acknowledged is there. That the database is whole is not a matter of luck.
fn holds(database: &Path, acknowledged: &[String], seed: usize) -> bool {
    let mut text = Vec::new();
    File::open(database).unwrap().read_to_end(&mut text).unwrap();
    let connection = rusqlite::Connection::open(database).unwrap();
    let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok", "cut {seed}");
    // Without syncs even the making of the collection may be lost.
    let Ok(mut statement) = connection.prepare("SELECT id, v FROM entries") else { return false };
    let there: BTreeMap<String, i64> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let told: i64 = connection
        .query_row("SELECT count(*) FROM _alyx_changes WHERE collection = 'entries'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(told, there.len() as i64, "cut {seed}: documents and changes differ");
    acknowledged.iter().all(|id| there.contains_key(id))
}

fn is_possible() -> bool {
    ["qemu-storage-daemon", "mkfs.ext4", "e2fsck", "debugfs"].into_iter().all(have)
}

#[tokio::test]
async fn m15_no_power_cut_loses_an_acknowledged_write() {
    if !is_possible() || !in_own_namespace("power::m15_no_power_cut_loses_an_acknowledged_write") {
        return;
    }
    let cuts = rounds(20, 100);
    assert_eq!(losses("full", cuts).await, 0, "of {cuts} cuts");
}

/// Without it nobody would know whether the tester sees a loss at all.
#[tokio::test]
async fn a_power_cut_shows_what_synchronous_normal_risks() {
    if !is_possible() || !in_own_namespace("power::a_power_cut_shows_what_synchronous_normal_risks") {
        return;
    }
    assert!(losses("normal", 20).await > 0, "the tester sees no loss where there must be some");
}
