//! A throw-away Debian with systemd and real cgroup v2, emulated by qemu, for what the host cannot show.
//!
//! Its disk is an image that `tests/vm/image.sh` makes once; what a run writes is forgotten. It has no
//! network. Emulation is 10 to 60 times slower than the host, so nothing here is measured.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::tree;

/// From the start of qemu until the guest takes commands; about 15 s on an idle host.
const BOOT: Duration = Duration::from_secs(300);

/// What a command may take beside its own limit.
const GRACE: Duration = Duration::from_secs(60);

/// A running machine; it ends with this value, and with this process.
#[derive(Debug)]
pub struct Vm {
    qemu: Child,
    control: BufReader<UnixStream>,
    folder: tempfile::TempDir,
}

/// What a command in the guest said.
#[derive(Debug)]
pub struct Said {
    /// Exit status; 124 where its time was over.
    pub status: i32,
    /// Both streams, in order.
    pub text: String,
}

impl Said {
    /// The output of a command that succeeded.
    #[track_caller]
    #[must_use]
    pub fn expect_ok(self) -> String {
        assert_eq!(self.status, 0, "{}", self.text);
        self.text
    }
}

impl Vm {
    /// Boots a suite of Debian with these files and folders of the host at these places of the guest.
    #[must_use]
    pub fn boot(suite: &str, payload: &[(&Path, &str)]) -> Self {
        let image = image(suite);
        let folder = tempfile::tempdir().expect("make a folder");
        let tar = folder.path().join("payload.tar");
        pack(payload, &tar);
        let socket = folder.path().join("control");
        let listener = UnixListener::bind(&socket).expect("listen for the guest");
        let qemu = qemu(&image, folder.path()).spawn().expect("start qemu");
        let (stream, _) = listener.accept().expect("qemu connects");
        let mut vm = Self { qemu, control: BufReader::new(stream), folder };
        let ready = vm.line(BOOT);
        assert_eq!(ready, "ready", "{}", vm.serial());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs();
        let mut seed = [0; 32];
        File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut seed)).expect("random bytes");
        let seed = BASE64.encode(seed);
        let unpacked = vm.ask(&format!("go {now} {seed}"), GRACE);
        let _ = unpacked.expect_ok();
        vm
    }

    /// Runs a script of bash as root in the guest.
    pub fn run(&mut self, script: &str, within: Duration) -> Said {
        let request = format!("run {} {}", within.as_secs(), BASE64.encode(script));
        self.ask(&request, within + GRACE)
    }

    /// Runs a script until it succeeds and returns what it said then.
    #[track_caller]
    pub fn until(&mut self, what: &str, script: &str, within: Duration) -> String {
        let start = Instant::now();
        loop {
            let said = self.run(script, within);
            if said.status == 0 {
                return said.text;
            }
            assert!(start.elapsed() < within, "waited {within:?} in vain for: {what}: {}", said.text);
        }
    }

    fn ask(&mut self, request: &str, within: Duration) -> Said {
        self.control.get_mut().write_all(format!("{request}\n").as_bytes()).expect("write to the guest");
        let answer = self.line(within);
        let mut words = answer.split(' ').skip(1).map(|word| word.parse::<i32>().expect("a number"));
        let (status, bytes) = (words.next().expect("a status"), words.next().expect("a length"));
        let mut output = vec![0; usize::try_from(bytes).expect("a length")];
        self.control.read_exact(&mut output).expect("read from the guest");
        Said { status, text: String::from_utf8_lossy(&output).into_owned() }
    }

    /// One line of the guest without its end.
    fn line(&mut self, within: Duration) -> String {
        self.control.get_ref().set_read_timeout(Some(within)).expect("a limit of time");
        let mut line = String::new();
        let read = self.control.read_line(&mut line);
        assert!(matches!(read, Ok(1..)), "the guest is silent or gone ({read:?}):\n{}", self.serial());
        line.trim_end().to_owned()
    }

    /// The end of what the kernel and systemd wrote on the serial line.
    fn serial(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join("serial.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(4000)..]).into_owned()
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // Nothing in it is worth an orderly end.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// The folder of the image, made if there is none.
fn image(suite: &str) -> PathBuf {
    let said = Command::new(tree::root().join("tests/vm/image.sh"))
        .arg(suite)
        .stderr(Stdio::inherit())
        .output()
        .expect("run image.sh");
    assert!(said.status.success(), "the image of {suite} cannot be made");
    PathBuf::from(String::from_utf8(said.stdout).expect("a path").trim_end())
}

/// A tar of files under other names, as the disk of the payload.
fn pack(payload: &[(&Path, &str)], tar: &Path) {
    // Links to folders of the host are followed: a checkout may be made of them.
    let mut command = Command::new("tar");
    command
        .args(["--create", "--dereference", "--absolute-names", "--owner=0", "--group=0", "--file"])
        .arg(tar);
    for (from, to) in payload {
        command.arg(format!("--transform=s,^{},{},S", from.display(), to.trim_start_matches('/')));
    }
    command.args(payload.iter().map(|(from, _)| from));
    assert!(command.status().expect("run tar").success(), "the payload cannot be packed");
    // A disk is made of whole sectors.
    let file = File::options().write(true).open(tar).expect("open the payload");
    let length = file.metadata().expect("its length").len().next_multiple_of(1 << 20);
    file.set_len(length).expect("pad the payload");
}

fn qemu(image: &Path, folder: &Path) -> Command {
    let file = |name: &str| folder.join(name).display().to_string();
    let of_image = |name: &str| image.join(name).display().to_string();
    // It must not outlive this process, whatever ends it.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none"]);
    command.args(["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1536"]);
    command.args(["-kernel", &of_image("kernel"), "-initrd", &of_image("initrd"), "-append"]);
    command.arg(
        "console=ttyS0 root=/dev/vda rw quiet loglevel=4 panic=-1 nokaslr mitigations=off audit=0 nowatchdog \
         systemd.show_status=0",
    );
    command.args(["-serial", &format!("file:{}", file("serial.log"))]);
    command
        .args(["-drive", &format!("file={},format=raw,snapshot=on,if=none,id=root", of_image("root.ext4"))]);
    command.args(["-device", "virtio-blk-pci,drive=root,serial=root"]);
    command
        .args(["-drive", &format!("file={},format=raw,readonly=on,if=none,id=payload", file("payload.tar"))]);
    command.args(["-device", "virtio-blk-pci,drive=payload,serial=payload"]);
    command.args(["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]);
    command.args(["-chardev", &format!("socket,id=ctl,path={}", file("control"))]);
    command.args(["-device", "virtserialport,chardev=ctl,name=ctl"]);
    // What a run writes lies beside the test's own files and goes with them.
    command.env("TMPDIR", folder).stdin(Stdio::null());
    command
}
