"""Who brings a backlog over a link: Titip, and what is used today. Each has a receiver at the centre, made before the
link is counted, and a sender at the office, which ends (or is seen to be done) when it knows that all has arrived."""

import base64
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

from harness import BIN, run, until
from link import CENTRE

HERE = pathlib.Path(__file__).resolve().parent
TUS = HERE / "tus"
PORT = 8443
NET_ADMIN = "-net_admin"
GIVES_UP_S = 30  # without a byte: a sender that sees that takes a new connection


class Late(Exception):
    """Not everything arrived within the limit."""


class Usage:
    """CPU time of one side's processes, those that came and went included: a cgroup (v1 or v2)."""

    def __init__(self, name):
        root = pathlib.Path("/sys/fs/cgroup")
        self.folder = (root / "cpuacct" if (root / "cpuacct").is_dir() else root) / name
        self.folder.mkdir()

    def seconds(self):
        old = self.folder / "cpuacct.usage"
        if old.exists():
            return int(old.read_text()) / 1e9
        return int(re.search(r"usage_usec (\d+)", (self.folder / "cpu.stat").read_text())[1]) / 1e6

    def processes(self):
        return [int(pid) for pid in (self.folder / "cgroup.procs").read_text().split()]

    def close(self):
        """Ends what a contender left running, so that the next round has the machine for itself."""
        for how in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.processes():
                try:
                    os.kill(pid, how)
                except ProcessLookupError:
                    pass
            deadline = time.monotonic() + 5
            while self.processes() and time.monotonic() < deadline:
                time.sleep(0.05)
        self.folder.rmdir()


class Site:
    """A link with its two sides, and a world whose certificates both use."""

    def __init__(self, world, link, files):
        self.world, self.link, self.files = world, link, files
        self.folder = world.path / "contender"
        self.usage = {}
        self.receivers = []

    def __enter__(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        for namespace in (self.link.office, self.link.centre):
            self.usage[namespace] = Usage(namespace)
        return self

    def __exit__(self, *_):
        for each in self.usage.values():
            each.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def before(self, namespace):
        """What a command begins with, to live on one side. Without CAP_NET_ADMIN: with it the kernel lets a program
        choose any congestion control, also one that is not allowed on this machine."""
        return ("sh", "-c", f'echo $$ >{self.usage[namespace].folder}/cgroup.procs && exec "$@"', "sh",
                "ip", "netns", "exec", namespace, "setpriv", f"--bounding-set={NET_ADMIN}", f"--inh-caps={NET_ADMIN}")

    def start(self, namespace, *command, **more):
        with open(self.folder / "log", "ab") as log:
            streams = {"stdout": log, "stderr": log, "stdin": subprocess.DEVNULL, **more}
            return subprocess.Popen([str(each) for each in (*self.before(namespace), *command)], **streams)

    def at_centre(self, *command):
        return self.start(self.link.centre, *command)

    def receive(self, *command):
        self.receivers.append(self.at_centre(*command))

    def said(self):
        return (self.folder / "log").read_text(errors="replace")

    def check(self):
        """A receiver that did not start would look like a sender that is slow."""
        for each in self.receivers:
            assert each.poll() is None, f"the receiver ended: {self.said()[-2000:]}"

    def at_office(self, *command, **more):
        return self.start(self.link.office, *command, **more)

    def finish(self, process, limit_s):
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise Late from None
        assert code == 0, f"exit code {code}: {self.said()[-250:]}"

    def loop(self, *command):
        """The command at the office again and again, until it succeeds."""
        return self.at_office("sh", "-c", 'until "$@"; do sleep 1; done', "sh", *command)


class Contender:
    programs = ()

    def __init__(self, site):
        self.site = site

    @classmethod
    def missing(cls):
        return [name for name in cls.programs if not shutil.which(name)]

    def prepare(self):
        """The receiver, and all that needs no link."""

    def send(self, limit_s):
        raise NotImplementedError

    def close(self):
        pass


class Titip(Contender):
    """Mutual TLS, sealed records, durable on both sides, signed receipts."""
    connections = 16
    bin = BIN

    @classmethod
    def missing(cls):
        return [name for name in ("titipd", "titip") if not (cls.bin / name).exists()]

    def prepare(self):
        world, link = self.site.world, self.site.link
        # Fresh stores: what was sent once would not be sent again.
        for name in ("centre", "station"):
            shutil.rmtree(world.path / name, ignore_errors=True)
            (world.path / f"{name}.log").unlink(missing_ok=True)
        world.config("centre", "centre", f'[listen]\naddress = "{CENTRE}:{PORT}"')
        self.centre = world._node("centre")
        self.station = world.station(port=PORT, host=CENTRE, connections=self.connections)
        self.centre.bin = self.station.bin = self.bin
        self.station.start()  # outside of the link: no network at all
        for file in self.site.files:
            done = self.station.submit(file)
            assert done.returncode == 0, done.stderr
        self.station.stop()
        self.centre.start(before=self.site.before(link.centre))

    def start(self):
        """Returns at once: from now on it sends."""
        # Only what is said from now on: before, it had no network and said so.
        self.said_before = len(self.station.log())
        self.station.start(wait=False, before=self.site.before(self.site.link.office))

    def delivered(self):
        """Record and moment of each receipt in the station's store. Its log and not its status, whose answering
        would cost the CPU time that is counted."""
        said = self.station.log()[self.said_before:]
        return re.findall(r"^(\S+Z) \S+ delivered record=(\S+)", said, re.MULTILINE)

    def send(self, limit_s):
        self.start()
        self.wait_for(len(self.site.files), limit_s)

    def wait_for(self, count, limit_s):
        deadline = time.monotonic() + limit_s
        while len(self.delivered()) < count:
            assert self.station.process.poll() is None, f"the station ended: {self.station.log()[-2000:]}"
            if time.monotonic() > deadline:
                raise Late
            time.sleep(0.02)

    def close(self):
        self.station.stop()
        self.centre.stop()


class TitipBefore(Titip):
    """Another build, to be compared with this one in the same run: TITIP_BEFORE=DIR, with its titipd and titip."""
    bin = pathlib.Path(os.environ.get("TITIP_BEFORE", "TITIP_BEFORE"))


class Curl(Contender):
    """PUT to nginx, TLS 1.3 with client certificates; nginx syncs nothing."""
    programs = ("curl", "nginx")
    parallel = 1
    version = "--http1.1"

    def prepare(self):
        world, folder = self.site.world, self.site.folder
        (folder / "data").mkdir()
        http2 = " http2" if self.version == "--http2" else ""
        (folder / "nginx.conf").write_text(f"""
daemon off; user root; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{ access_log off; client_max_body_size 16m; client_body_temp_path {folder}/tmp; keepalive_requests 100000;
 server {{ listen {CENTRE}:{PORT} ssl{http2}; ssl_protocols TLSv1.3;
  ssl_certificate {world.path}/centre.pem; ssl_certificate_key {world.path}/centre.key;
  ssl_client_certificate {world.path}/root.pem; ssl_verify_client on;
  location / {{ root {folder}/data; dav_methods PUT; }} }} }}""")
        self.site.receive("nginx", "-c", folder / "nginx.conf", "-p", folder)
        until(lambda: (folder / "pid").exists(), "nginx runs")
        (folder / "curl.conf").write_text("".join(
            f'upload-file = "{file}"\nurl = "https://{CENTRE}:{PORT}/{file.name}"\noutput = "/dev/null"\n' for file in self.site.files))

    def send(self, limit_s):
        world = self.site.world
        parallel = ("-Z", "--parallel-max", self.parallel) if self.parallel > 1 else ()
        self.site.finish(self.site.at_office(
            "curl", "-s", "-S", "-f", self.version, "--retry", 1000, "--retry-all-errors", "--retry-delay", 1,
            "--retry-max-time", int(limit_s), "--speed-limit", 1, "--speed-time", GIVES_UP_S, "--cacert", world.path / "root.pem",
            "--cert", world.path / "station.pem", "--key", world.path / "station.key", "-H", "Expect:",
            "-K", self.site.folder / "curl.conf", *parallel), limit_s)


class CurlParallel(Curl):
    parallel = 8


class CurlHttp2(Curl):
    parallel = 8
    version = "--http2"


class Rsync(Contender):
    """The daemon, no encryption; --partial in a loop."""
    programs = ("rsync",)

    def prepare(self):
        folder = self.site.folder
        (folder / "data").mkdir()
        (folder / "rsyncd.conf").write_text(f"""use chroot = no
uid = root
gid = root
pid file = {folder}/pid
log file = {folder}/rsyncd.log
[in]
path = {folder}/data
read only = no
""")
        self.site.receive("rsync", "--daemon", "--no-detach", f"--config={folder}/rsyncd.conf", f"--address={CENTRE}",
                            f"--port={PORT}")
        until(lambda: (folder / "pid").exists(), "the rsync daemon runs")

    def send(self, limit_s):
        self.site.finish(self.site.loop("rsync", "-a", "--partial", "--whole-file", f"--timeout={GIVES_UP_S}",
                                        f"--contimeout={GIVES_UP_S}", *self.site.files, f"rsync://{CENTRE}:{PORT}/in/"), limit_s)


class Lftp(Contender):
    """mirror over sftp, lftp's own retrying."""
    programs = ("lftp", "sshd", "ssh", "ssh-keygen")

    def prepare(self):
        folder = self.site.folder
        (folder / "in").mkdir()
        (folder / "out").mkdir()
        for file in self.site.files:
            os.link(file, folder / "out" / file.name)
        for name in ("host", "office"):
            assert run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name).returncode == 0
        (folder / "known").write_text(f"[{CENTRE}]:{PORT} {(folder / 'host.pub').read_text()}")
        (folder / "sshd.conf").write_text(f"""Port {PORT}
ListenAddress {CENTRE}
HostKey {folder}/host
AuthorizedKeysFile {folder}/office.pub
PidFile {folder}/pid
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
UseDNS no
Subsystem sftp internal-sftp
""")
        os.makedirs("/run/sshd", exist_ok=True)  # where sshd insists to live, before it has the privileges to make it
        self.site.receive(shutil.which("sshd"), "-D", "-e", "-f", folder / "sshd.conf")
        until(lambda: (folder / "pid").exists(), "sshd runs")

    def send(self, limit_s):
        folder = self.site.folder
        ssh = (f"ssh -a -x -i {folder}/office -o UserKnownHostsFile={folder}/known -o BatchMode=yes "
               f"-o ServerAliveInterval=10 -o ServerAliveCountMax=3")
        script = (f'set sftp:connect-program "{ssh}"; set net:max-retries 0; set net:timeout {GIVES_UP_S}; '
                  "set net:reconnect-interval-base 1; set net:reconnect-interval-multiplier 1; set cmd:fail-exit yes; "
                  f"open -u root,none sftp://{CENTRE}:{PORT}; mirror -R -c --no-perms {folder}/out {folder}/in; bye")
        self.site.finish(self.site.loop("lftp", "-c", script), limit_s)


class Rclone(Contender):
    """copy to rclone's own WebDAV, no TLS, its defaults (four at once)."""
    programs = ("rclone",)

    def prepare(self):
        folder = self.site.folder
        for name in ("in", "out"):
            (folder / name).mkdir()
        for file in self.site.files:
            os.link(file, folder / "out" / file.name)
        self.site.receive("rclone", "serve", "webdav", folder / "in", "--addr", f"{CENTRE}:{PORT}", "--config", "/dev/null")
        until(lambda: re.search("Serving|started on", self.site.said()), "rclone serves")

    def send(self, limit_s):
        self.site.finish(self.site.loop("rclone", "copy", self.site.folder / "out", ":webdav:", "--webdav-url", f"http://{CENTRE}:{PORT}",
                                        "--config", "/dev/null"), limit_s)


class TusJs(Contender):
    """tus-js-client to @tus/server, TLS 1.3 with client certificates, four at once, data with creation."""
    programs = ("node",)

    @classmethod
    def missing(cls):
        return super().missing() + ([] if (TUS / "node_modules").is_dir() else [f"npm install in {TUS.relative_to(HERE.parents[1])}"])

    def prepare(self):
        world, folder = self.site.world, self.site.folder
        (folder / "data").mkdir()
        self.site.receive("node", TUS / "server.mjs", CENTRE, PORT, folder / "data", world.path / "root.pem",
                            world.path / "centre.pem", world.path / "centre.key")
        until(lambda: "ready" in self.site.said(), "the tus server runs")

    def send(self, limit_s):
        world = self.site.world
        self.site.finish(self.site.at_office(
            "node", TUS / "client.mjs", f"https://{CENTRE}:{PORT}/files", world.path / "root.pem", world.path / "station.pem",
            world.path / "station.key", *self.site.files), limit_s)


class Postfix(Contender):
    """A queued backlog flushed to smtp-sink, no TLS; base64, so more bytes."""
    programs = ("postfix", "smtp-sink", "sendmail", "postqueue", "postconf")

    def prepare(self):
        folder = self.site.folder
        self.settings, self.queue = folder / "postfix", folder / "queue"
        for each in (self.settings, self.queue, folder / "spool-data"):
            each.mkdir()
        shutil.chown(folder / "spool-data", "postfix")
        (self.settings / "main.cf").write_text(f"""compatibility_level = 3.6
queue_directory = {self.queue}
data_directory = {folder}/spool-data
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
myhostname = office.test
mydestination =
relayhost = [{CENTRE}]:{PORT}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_dns_support_level = disabled
message_size_limit = 0
mailbox_size_limit = 0
alias_maps =
defer_transports = smtp
""")
        services = pathlib.Path("/usr/share/postfix/master.cf.dist").read_text()
        # No chroot, and nothing listens.
        services = re.sub(r"^((?:\S+\s+){4})y", r"\1n", services, flags=re.MULTILINE)
        (self.settings / "master.cf").write_text(re.sub(r"^smtp\s+inet", "#smtp inet", services, flags=re.MULTILINE))
        self.site.receive("smtp-sink", "-u", "nobody", f"{CENTRE}:{PORT}", 128)
        self._postfix("start")
        for file in self.site.files:
            mail = folder / "mail"
            mail.write_text("From: office@office.test\nTo: centre@centre.test\nSubject: record\nMIME-Version: 1.0\n"
                            "Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n"
                            + base64.encodebytes(file.read_bytes()).decode())
            with open(mail, "rb") as text:
                taken = self.site.at_office("sendmail", "-C", self.settings, "-f", "office@office.test", "centre@centre.test", stdin=text)
                assert taken.wait() == 0
        until(lambda: len(self._queued("deferred")) == len(self.site.files), "Postfix has queued all", 120)

    def _postfix(self, what):
        done = self.site.at_office("postfix", "-c", self.settings, what)
        assert done.wait(60) == 0, self.site.said()[-2000:]

    def _queued(self, *queues):
        return [name for queue in queues for _, _, files in os.walk(self.queue / queue) for name in files]

    def send(self, limit_s):
        deadline = time.monotonic() + limit_s
        assert self.site.at_office("postconf", "-c", self.settings, "-X", "defer_transports").wait() == 0
        self._postfix("reload")
        assert self.site.at_office("postqueue", "-c", self.settings, "-f").wait() == 0
        while self._queued("maildrop", "incoming", "active", "deferred"):
            if time.monotonic() > deadline:
                raise Late
            time.sleep(0.05)

    def close(self):
        self._postfix("stop")


CONTENDERS = {"titip": Titip, "titip-before": TitipBefore, "curl": Curl, "curl-8": CurlParallel, "curl-http2": CurlHttp2,
              "rsync": Rsync, "lftp": Lftp, "rclone": Rclone, "tus-js": TusJs, "postfix": Postfix}


def titip_with(connections):
    """A number, or what else the configuration may one day take."""
    return type("Titip", (Titip,), {"connections": connections if connections.isdigit() else f'"{connections}"'})
