"""Real daemons, real TLS, real files: what the system, crash and link tests stand on.

A test makes a World (a folder, a PKI), Nodes in it (titipd processes), and asks them with `titip`.
Nothing here waits for a fixed time: until() looks again until a condition holds.
"""

import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("TITIP_BIN", SOURCE / "build/release"))
STATION = "kab-karimun-03"


def run(*command, **options):
    return subprocess.run([str(c) for c in command], capture_output=True, **options)


def until(condition, what, limit_s=60.0):
    """What `condition` gives, as soon as it is true; the limit only ends a test that hangs."""
    deadline = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit_s} s: {what}")
        time.sleep(0.02)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class World:
    """A folder with certificates, records and nodes; gone at the end."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="titip-test."))
        self.path.chmod(0o755)
        self.nodes = []
        self.port = free_port()
        self._authority("root")
        self.issue("centre", "URI:titip:centre,DNS:localhost,IP:127.0.0.1")
        self.issue("station", f"URI:titip:station:{STATION}")
        self.issue("recipient", "DNS:recipient.centre")
        self.issue("escrow", "DNS:escrow.centre")

    def __enter__(self):
        return self

    def __exit__(self, failed, *_):
        for node in self.nodes:
            node.stop()
        if failed:
            for node in self.nodes:
                print(f"--- {node.name}.log", file=sys.stderr)
                print("\n".join(node.log().splitlines()[-40:]), file=sys.stderr)
        shutil.rmtree(self.path, ignore_errors=True)

    def _openssl(self, *arguments):
        done = run("openssl", *arguments, cwd=self.path)
        assert done.returncode == 0, done.stderr.decode()

    def _authority(self, name):
        self._openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{name}.key")
        self._openssl("req", "-x509", "-new", "-key", f"{name}.key", "-days", "30", "-subj", f"/CN={name}",
                      "-out", f"{name}.pem", "-addext", "basicConstraints=critical,CA:TRUE",
                      "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def issue(self, name, names, authority="root"):
        if not (self.path / f"{authority}.pem").exists():
            self._authority(authority)
        self._openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{name}.key")
        self._openssl("req", "-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-out", f"{name}.csr")
        (self.path / f"{name}.ext").write_text(
            "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature,keyAgreement\n"
            f"subjectKeyIdentifier=hash\nsubjectAltName={names}\n")
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
                      "-CAcreateserial", "-days", "30", "-extfile", f"{name}.ext", "-out", f"{name}.pem")

    def records(self, count, size_bytes=300_000, seed=1):
        """Files of synthetic enrollments: [(id, path)]."""
        folder = self.path / f"records-{seed}"
        done = run(BIN / "titip-synthesize", "--records", count, "--out", folder, "--seed", seed,
                   "--min-bytes", size_bytes, "--max-bytes", size_bytes)
        assert done.returncode == 0, done.stderr.decode()
        return sorted((each.name.split(".")[0], each) for each in folder.iterdir())

    def config(self, name, node, more, state=None, quota="4 GiB", mirror=None):
        if mirror:
            more += f'\n[mirror]\npath = "{mirror}"\n'
        group = run("id", "-gn").stdout.decode().strip()
        file = self.path / f"{name}.toml"
        file.write_text(f"""[node]
name = "{node}"
state = "{state or self.path / name}"
quota = "{quota}"

[identity]
certificate = "{self.path}/{name}.pem"
key = "{self.path}/{name}.key"
authorities = "{self.path}/root.pem"

[control]
socket = "{self.path}/{name}.sock"
submit = "{group}"
read = "{group}"
operate = "{group}"
consume = "{group}"

{more}
""")
        return file

    def centre(self, port=None, **options):
        self.config("centre", "centre", f'[listen]\naddress = "127.0.0.1:{port or self.port}"', **options)
        return self._node("centre")

    def station(self, port=None, keep=None, host="localhost", connections=2, **options):
        more = (f'[seal]\nrecipients = ["{self.path}/recipient.pem", "{self.path}/escrow.pem"]\n\n'
                f'[upstream]\nurl = "https://{host}:{port or self.port}"\nconnections = {connections}\n')
        if keep:
            more += f'\n[retention]\nkeep = "{keep}"\n'
        self.config("station", STATION, more, **options)
        return self._node("station")

    def _node(self, name):
        for node in self.nodes:
            if node.name == name:
                return node
        node = Node(self, name)
        self.nodes.append(node)
        return node

    def client_context(self, name="station"):
        context = ssl.create_default_context(cafile=str(self.path / "root.pem"))
        if name:
            context.load_cert_chain(self.path / f"{name}.pem", self.path / f"{name}.key")
        return context

    def server_context(self, name="centre"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path / f"{name}.pem", self.path / f"{name}.key")
        context.load_verify_locations(self.path / "root.pem")
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context


class Node:
    """One titipd process, which may be killed and started again."""

    def __init__(self, world, name):
        self.world = world
        self.name = name
        self.config = world.path / f"{name}.toml"
        self.socket = world.path / f"{name}.sock"
        self.process = None

    def start(self, wait=True, before=(), environment=None):
        assert self.process is None
        with open(self.world.path / f"{self.name}.log", "ab") as log:
            self.process = subprocess.Popen([*map(str, before), str(BIN / "titipd"), "--config", str(self.config)],
                                            stdout=log, stderr=log, env={**os.environ, **(environment or {})})
        if wait:
            until(lambda: self.process.poll() is not None or self.is_answering(), f"{self.name} answers")
            assert self.process.poll() is None, f"{self.name} ended: {self.log()[-2000:]}"
        return self

    def is_answering(self):
        return self.titip("status").returncode in (0, 7)

    def kill(self):
        """SIGKILL: no destructor, no last write."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self, limit_s=20):
        """SIGTERM; the exit code."""
        if self.process is None:
            return None
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self.process = None
            raise AssertionError(f"{self.name} did not stop within {limit_s} s")
        self.process = None
        return code

    def log(self):
        file = self.world.path / f"{self.name}.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def titip(self, *arguments):
        return run(BIN / "titip", "--socket", self.socket, *arguments)

    def json(self, *arguments):
        """What `titip --json` answers: one object, or a list for JSON Lines."""
        done = self.titip("--json", *arguments)
        assert done.returncode in (0, 7), (arguments, done.returncode, done.stdout, done.stderr)
        lines = [json.loads(line) for line in done.stdout.decode().splitlines()]
        return lines

    def status(self):
        return self.json("status")[0]

    def link(self):
        return self.status()["link"]

    def show(self, record):
        return self.json("show", record)[0]

    def list(self, *arguments):
        return self.json("list", *arguments)

    def submit(self, file, *arguments):
        return self.titip("submit", file, *arguments)

    def state_of(self, record):
        return self.show(record)["state"]

    def http(self, method, target, body=b"", headers=()):
        """One request on the local socket: (status, headers, body)."""
        with socket.socket(socket.AF_UNIX) as local:
            local.connect(str(self.socket))
            return exchange(local, method, target, body, headers)

    def wait_drained(self, limit_s=120):
        until(lambda: self.status()["records"]["waiting"]["records"] == 0, f"{self.name} drained", limit_s)

    def anonymous_rss_bytes(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no RssAnon")


@contextlib.contextmanager
def connected(world, name="station"):
    """A TLS connection to the centre, with the certificate of `name`."""
    with socket.create_connection(("127.0.0.1", world.port)) as raw:
        with world.client_context(name).wrap_socket(raw, server_hostname="localhost") as secure:
            secure.settimeout(20)
            yield secure


def exchange(stream, method, target, body=b"", headers=(), content_length=None):
    """Writes one HTTP/1.1 request and reads its answer: (status, headers, body)."""
    head = f"{method} {target} HTTP/1.1\r\nHost: test\r\n"
    for name, value in headers:
        head += f"{name}: {value}\r\n"
    head += f"Content-Length: {len(body) if content_length is None else content_length}\r\n\r\n"
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stream.sendall(head.encode() + body)
    return read_answer(stream, method)


def read_answer(stream, method="GET"):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = stream.recv(65536)
        if not piece:
            raise ConnectionError(f"closed after {data!r}")
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    fields = {line.split(":", 1)[0].lower(): line.split(":", 1)[1].strip() for line in lines[1:]}
    status = int(lines[0].split()[1])
    length = 0 if method == "HEAD" or status == 204 else int(fields.get("content-length", 0))
    while len(body) < length:
        piece = stream.recv(65536)
        if not piece:
            raise ConnectionError("closed in the body")
        body += piece
    return status, fields, body


class Server:
    """A thread that accepts; each connection is handled by `handle(connection)` in a thread."""

    def __init__(self, handle, port=0):
        self._handle = handle
        self._listening = socket.create_server(("127.0.0.1", port), backlog=64)
        self.port = self._listening.getsockname()[1]
        self._open = set()
        self._lock = threading.Lock()
        self._is_over = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with self._lock:
                if self._is_over:
                    connection.close()
                    return
                self._open.add(connection)
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection):
        with contextlib.suppress(OSError, ssl.SSLError, ConnectionError):
            self._handle(connection)
        with self._lock:
            self._open.discard(connection)
        with contextlib.suppress(OSError):
            connection.close()

    def close(self):
        with self._lock:
            self._is_over = True
            still = list(self._open)
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in still:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class CuttingProxy(Server):
    """Forwards to `to`, counting; cuts one connection where the test says so.

    cut_after_up: bytes forwarded to the centre on one connection after which it is cut, cleanly for the
    centre (what was forwarded arrives). drop_down_after: once so many bytes have gone up, nothing
    comes down any more, and the connection is cut when the centre answers. Each cuts once.
    """

    def __init__(self, to, port=0):
        self.to = to
        self.up_bytes = 0
        self.cuts = 0
        self.cut_after_up = None
        self.drop_down_after = None
        self.connections_up = []
        super().__init__(self._forward, port)

    def _forward(self, client):
        with socket.create_connection(("127.0.0.1", self.to)) as server:
            state = {"up": 0}
            self.connections_up.append(state)
            back = threading.Thread(target=self._back, args=(server, client, state), daemon=True)
            back.start()
            while True:
                piece = client.recv(16384)
                if not piece:
                    break
                limit = self.cut_after_up
                if limit is not None and state["up"] + len(piece) >= limit:
                    piece = piece[:limit - state["up"]]
                    self.cut_after_up = None
                    server.sendall(piece)
                    self._count(state, piece)
                    self.cuts += 1
                    break
                server.sendall(piece)
                self._count(state, piece)
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_WR)
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            back.join(10)

    def _count(self, state, piece):
        state["up"] += len(piece)
        self.up_bytes += len(piece)

    def _back(self, server, client, state):
        with contextlib.suppress(OSError):
            while True:
                piece = server.recv(65536)
                if not piece:
                    break
                if self.drop_down_after is not None and state["up"] >= self.drop_down_after:
                    self.drop_down_after = None
                    self.cuts += 1
                    break
                client.sendall(piece)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


class Skipped(Exception):
    """This machine cannot run the test; says what it would need."""


def tests(module):
    """Runs the functions test_* of a module, or those named on the command line. Exit code 77: none failed, and
    not all could be run."""
    wanted = sys.argv[1:]
    failures = 0
    skipped = 0
    for name, function in list(vars(module).items()):
        if not name.startswith("test_") or (wanted and name not in wanted):
            continue
        started = time.monotonic()
        try:
            function()
            print(f"passed {name} ({time.monotonic() - started:.1f} s)", flush=True)
        except Skipped as why:
            skipped += 1
            print(f"SKIPPED {name}: {why}", flush=True)
        except Exception as error:  # noqa: BLE001: every failure is reported, the others still run
            failures += 1
            import traceback
            traceback.print_exc()
            print(f"FAILED {name}: {error}", flush=True)
    sys.exit(1 if failures else 77 if skipped else 0)
