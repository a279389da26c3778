"""SIGKILL of station or centre at random moments, with an outside list of acknowledged submissions:
every acknowledged record is there and arrives exactly once; nothing half.

    kill_test.py [--kills N] [--seconds S] [--seed X]
"""

import argparse
import hashlib
import pathlib
import random
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))

import harness  # noqa: E402
from harness import World, until  # noqa: E402


class Submitter(threading.Thread):
    """Hands records over for as long as it may, and notes what was acknowledged: the outside list."""

    def __init__(self, station, files):
        super().__init__(daemon=True)
        self.station = station
        self.files = files
        self.acknowledged = {}
        self.is_over = False
        self.failures = 0

    def run(self):
        at = 0
        while not self.is_over:
            record, body = self.files[at % len(self.files)]
            try:
                status, _, answer = self.station.http("PUT", f"/v1/records/{record}", body)
            except OSError:
                self.failures += 1  # unknown, not "not accepted": the same record is submitted again
                time.sleep(0.005)
                continue
            assert status in (200, 201), (status, answer)
            if status == 201:
                assert record not in self.acknowledged, f"{record} was new twice"
            self.acknowledged[record] = hashlib.sha256(body).hexdigest()
            at += 1


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--kills", type=int, default=200)
    arguments.add_argument("--seconds", type=float, default=0, help="go on for so long, however many kills")
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    arguments.add_argument("--records", type=int, default=1500)
    options = arguments.parse_args()
    print(f"seed {options.seed}", flush=True)
    chance = random.Random(options.seed)
    with World() as world:
        centre, station = world.centre().start(), world.station().start()
        files = [(record, path.read_bytes()) for record, path in
                 world.records(options.records, size_bytes=40_000, seed=options.seed)]
        submitter = Submitter(station, files)
        submitter.start()
        killed = {"station": 0, "centre": 0}
        started = time.monotonic()
        while sum(killed.values()) < options.kills or time.monotonic() - started < options.seconds:
            victim = chance.choice((station, centre))
            # Most moments of interest lie within milliseconds of a start; some later.
            time.sleep(chance.choice((chance.random() * 0.02, chance.random() * 0.3)))
            victim.kill()
            killed[victim.name] += 1
            if chance.random() < 0.5:
                time.sleep(chance.random() * 0.05)
            victim.start(wait=chance.random() < 0.7)
        submitter.is_over = True
        submitter.join(60)
        for node in (station, centre):
            until(node.is_answering, f"{node.name} answers")
        station.http("POST", "/v1/link/probe")
        station.wait_drained(300)

        acknowledged = submitter.acknowledged
        here = {r["id"]: r for r in station.list()}
        there = {r["id"]: r for r in centre.list()}
        lost = set(acknowledged) - set(here)
        undelivered = {i for i in acknowledged if i in here and (here[i]["state"] != "delivered" or i not in there)}
        different = {i for i in here if i in there and here[i]["digest"] != there[i]["digest"]}
        half = [i for i, r in there.items() if r["state"] == "arriving"]
        accepted = [e["id"] for e in centre.json("events") if e["event"] == "accepted"]
        twice = len(accepted) - len(set(accepted))
        sequences = sorted(r["sequence"] for r in here.values())
        findings = station.status()["findings"] + centre.status()["findings"]
        took = time.monotonic() - started
        print(f"killed station {killed['station']} and centre {killed['centre']} times in {took:.0f} s, seed "
              f"{options.seed}: {len(acknowledged)} acknowledged, {submitter.failures} answers lost; lost {len(lost)}, "
              f"undelivered {len(undelivered)}, different {len(different)}, half {len(half)}, twice {twice}, "
              f"findings {len(findings)}", flush=True)
        assert not lost and not undelivered and not different and not half and twice == 0, (lost, undelivered, different, half)
        assert sequences == list(range(1, len(sequences) + 1)), "the numbering has a gap"
        assert not findings, findings
        # What arrived opens, and is what was submitted.
        for record in list(acknowledged)[:10]:
            out = world.path / "opened"
            done = centre.titip("open", record, "--key", world.path / "recipient.key", "--certificate",
                                world.path / "recipient.pem", "--out", out)
            assert done.returncode == 0, done.stderr
            assert hashlib.sha256(out.read_bytes()).hexdigest() == acknowledged[record]


if __name__ == "__main__":
    main()
