"""Two network namespaces, an office and a centre, joined by a bad link (titip-link): for system tests and benches."""

import contextlib
import ctypes
import json
import os
import pathlib
import subprocess

BIN = pathlib.Path(os.environ.get("TITIP_BIN", pathlib.Path(__file__).resolve().parents[2] / "build" / "release"))
OFFICE, CENTRE = "10.77.0.1", "10.77.0.2"
CLONE_NEWNET = 0x40000000


def run(*command):
    subprocess.run([str(each) for each in command], check=True)


def is_possible():
    """Root, namespaces and TUN: not in every container."""
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        return False
    return subprocess.run(["ip", "netns", "list"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


class Link:
    def __init__(self, profile="lan", seed=1, name=None):
        name = name or f"titip-{os.getpid()}"
        self.office, self.centre = f"{name}-office", f"{name}-centre"
        self.profile = profile
        self.seed = seed
        self.process = None

    def __enter__(self):
        try:
            for namespace in (self.office, self.centre):
                run("ip", "netns", "add", namespace)
            self.process = subprocess.Popen(
                [BIN / "titip-link", "--office", self.office, "--centre", self.centre, "--profile", self.profile,
                 "--seed", str(self.seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert self.process.stdout.readline() == "ready\n", "titip-link does not start"
            with contextlib.suppress(OSError):  # a busy machine must not make the link slower than it says it is
                os.sched_setscheduler(self.process.pid, os.SCHED_RR, os.sched_param(1))
                pathlib.Path(f"/proc/{self.process.pid}/timerslack_ns").write_text("1")
            for namespace, own, other in ((self.office, OFFICE, CENTRE), (self.centre, CENTRE, OFFICE)):
                # No packets but those of who uses it.
                run("ip", "netns", "exec", namespace, "sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6")
                run("ip", "-n", namespace, "link", "set", "lo", "up")
                run("ip", "-n", namespace, "address", "add", own, "peer", other, "dev", "wire")
                run("ip", "-n", namespace, "link", "set", "wire", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.stdin.close()
            self.process.wait()
        for namespace in (self.office, self.centre):
            subprocess.run(["ip", "netns", "delete", namespace], stderr=subprocess.DEVNULL)

    def order(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert not answer.startswith("not understood"), answer
        return answer

    def seen(self):
        """What was sent, dropped and delivered: {"up": {...}, "down": {...}}."""
        return json.loads(self.order("seen"))

    @staticmethod
    def inside(namespace):
        """For Popen(preexec_fn=...): the child lives in the namespace, and sees no other difference."""
        def enter():
            with open(f"/run/netns/{namespace}") as there:
                if ctypes.CDLL(None, use_errno=True).setns(there.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
        return enter

    def set_as_packaged(self):
        """What systemd/titip.sysctl sets at the office and a namespace has for itself; the other line is the whole machine's."""
        subprocess.run(["ip", "netns", "exec", self.office, "sysctl", "-q", "-w", "net.ipv4.tcp_syn_linear_timeouts=0"],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)  # older kernels have none

    def popen(self, namespace, *command, **more):
        return subprocess.Popen([str(each) for each in command], preexec_fn=self.inside(namespace), **more)
