"""Which congestion control the two sides of a link may use, made true and looked at.

A namespace has a default of its own, but what a program without CAP_NET_ADMIN may choose is one list for the whole
machine. The first bench that runs sets it, others that need the same one share it, the last one puts it back."""

import fcntl
import json
import pathlib
import re
import subprocess
import sys
import threading

HERE = pathlib.Path("/proc/sys/net/ipv4")
ALLOWED = HERE / "tcp_allowed_congestion_control"
NOTE = pathlib.Path("/run/titip-bench-congestion")
#: The default of both sides; and may a program choose BBR for itself?
KINDS = {"cubic": ("cubic", False), "bbr": ("bbr", False), "allowed": ("cubic", True)}
CHOOSE = "import socket; socket.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b'bbr')"
SAMPLE_S = 4


class Congestion:
    def __init__(self, kind):
        self.kind = kind
        self.default, self.is_bbr_allowed = KINDS[kind]
        available = (HERE / "tcp_available_congestion_control").read_text().split()
        for name in ("cubic", "bbr") if kind != "cubic" else ("cubic",):
            assert name in available, f"this kernel has no {name}: modprobe tcp_{name}"
        if kind == "bbr" and (HERE / "tcp_congestion_control").read_text().strip() != "bbr":
            self.is_bbr_allowed = True  # else no namespace may have it as its default

    def __enter__(self):
        wanted = "reno cubic bbr" if self.is_bbr_allowed else "reno cubic"
        self.note = open(NOTE, "a+")
        try:
            fcntl.flock(self.note, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.note.truncate(0)
            self.note.write(json.dumps({"before": ALLOWED.read_text().strip(), "wanted": wanted}))
            self.note.flush()
            ALLOWED.write_text(wanted)
        except BlockingIOError:
            pass
        fcntl.flock(self.note, fcntl.LOCK_SH)
        self.note.seek(0)
        self.noted = json.loads(self.note.read())
        if self.noted["wanted"] != wanted:
            self.note.close()
            raise SystemExit(f'another bench needs "{self.noted["wanted"]}" in {ALLOWED}, this one "{wanted}": it is one list for '
                             "the whole machine, so run them one after the other")
        return self

    def __exit__(self, *_):
        try:
            fcntl.flock(self.note, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ALLOWED.write_text(self.noted["before"])
        except BlockingIOError:
            pass  # others still run
        self.note.close()

    def apply(self, link):
        file = HERE / "tcp_congestion_control"
        for namespace in (link.office, link.centre):
            # What is so already must not be written: not even that is allowed for one that is not on the list.
            done = subprocess.run(["ip", "netns", "exec", namespace, "sh", "-c",
                                   f'[ "$(cat {file})" = {self.default} ] || echo {self.default} >{file}'], stderr=subprocess.PIPE)
            assert done.returncode == 0, done.stderr.decode()

    def prove(self, site):
        """Asks the kernel as a contender would, and believes nothing else."""
        for start in (site.at_office, site.at_centre):
            is_possible = start(sys.executable, "-c", CHOOSE).wait() == 0
            assert is_possible == (self.kind != "cubic"), f"{self.kind}: a program {'can' if is_possible else 'cannot'} choose BBR"

    def judge(self, seen):
        """Whether the connections of a run used what they were to use. Away from BBR everybody may go."""
        if (seen - {"cubic"} if self.kind == "cubic" else self.kind == "bbr" and "bbr" not in seen):
            raise AssertionError(f"{self.kind} was asked for, and the kernel used {', '.join(sorted(seen))}")


class Algorithms(threading.Thread):
    """What the kernel says that the connections on both sides use, looked at now and then."""

    def __init__(self, link):
        super().__init__(daemon=True)
        self.link = link
        self.seen = set()
        self.over = threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(SAMPLE_S):
            self.look()

    def look(self):
        for namespace in (self.link.office, self.link.centre):
            done = subprocess.run(["ip", "netns", "exec", namespace, "ss", "-tinH"], stdout=subprocess.PIPE, text=True)
            # "ts sack bbr wscale:7,7 rto:..."
            self.seen |= set(re.findall(r"\b(cubic|bbr|reno) wscale", done.stdout))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()
