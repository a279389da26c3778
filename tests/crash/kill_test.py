"""SIGKILL of station or centre at random moments of accepting, sending, taking in, erasing and setting aside,
with an outside list of acknowledged submissions and verdicts: every acknowledged record is there and arrives
exactly once, nothing half; the station erases what was opened, and keeps all else.

    kill_test.py [--kills N] [--seconds S] [--seed X]
"""

import argparse
import hashlib
import json
import pathlib
import random
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))

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


class Consumer(threading.Thread):
    """Opens records at the centre in any order: most of them, for some the key is wrong, some are left alone."""

    def __init__(self, centre, chance):
        super().__init__(daemon=True)
        self.centre = centre
        self.chance = chance
        self.said = {}
        self.given = set()  # those that were acknowledged; a verdict `open-failed` does not change the state here
        self.left = set()
        self.is_over = False

    def look(self):
        status, _, answer = self.centre.http("GET", "/v1/records?state=delivered&limit=1000")
        assert status == 200, (status, answer)
        held = [json.loads(line) for line in answer.splitlines()]
        self.chance.shuffle(held)
        for record in held:
            if self.is_over or record["id"] in self.left | self.given:
                continue
            if record["id"] not in self.said and self.chance.random() < 0.2:
                self.left.add(record["id"])
                continue
            kind = self.said.setdefault(record["id"], self.chance.choice(("opened", "opened", "opened", "open-failed")))
            what = {"id": record["id"], "station": record["station"], "digest": record["digest"], "kind": kind}
            status, _, answer = self.centre.http("POST", "/v1/verdicts", json.dumps(what).encode())
            assert status == 200, (status, answer)
            self.given.add(record["id"])

    def run(self):
        while not self.is_over:
            try:
                self.look()
            except OSError:
                pass  # whether it was noted is unknown: a verdict is given again
            time.sleep(0.01)


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
        centre, station = world.centre().start(), world.station(keep="1 ms").start()
        files = [(record, path.read_bytes()) for record, path in
                 world.records(options.records, size_bytes=40_000, seed=options.seed)]
        submitter = Submitter(station, files)
        submitter.start()
        consumer = Consumer(centre, random.Random(options.seed + 1))
        consumer.start()
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
        consumer.is_over = True
        for each in (submitter, consumer):
            each.join(60)
        for node in (station, centre):
            until(node.is_answering, f"{node.name} answers")
        station.http("POST", "/v1/link/probe")
        station.wait_drained(300)
        consumer.is_over = False
        consumer.look()  # those of which the answer was lost
        expected = {"opened": "erased", "open-failed": "quarantined", None: "delivered"}

        def unsettled():
            return [(r, consumer.said.get(r["id"])) for r in station.list() if r["state"] != expected[consumer.said.get(r["id"])]]

        until(lambda: not unsettled(), "the station does what the verdicts say", 60)

        acknowledged = submitter.acknowledged
        here = {r["id"]: r for r in station.list()}
        there = {r["id"]: r for r in centre.list()}
        lost = set(acknowledged) - set(here)
        undelivered = {i for i in acknowledged if i in here and i not in there}
        different = {i for i in here if i in there and here[i]["digest"] != there[i]["digest"]}
        half = [i for i, r in there.items() if r["state"] == "arriving"]
        accepted = [e["id"] for e in centre.json("events") if e["event"] == "accepted"]
        twice = len(accepted) - len(set(accepted))
        erased = [e["id"] for e in station.json("events") if e["event"] == "erase"]
        set_aside = [r for r in here.values() if r["state"] == "quarantined"]
        sequences = sorted(r["sequence"] for r in here.values())
        findings = station.status()["findings"] + centre.status()["findings"]
        took = time.monotonic() - started
        print(f"killed station {killed['station']} and centre {killed['centre']} times in {took:.0f} s, seed "
              f"{options.seed}: {len(acknowledged)} acknowledged, {submitter.failures} answers lost; lost {len(lost)}, "
              f"undelivered {len(undelivered)}, erased {len(erased)}, set aside {len(set_aside)}, different {len(different)}, half {len(half)}, twice {twice}, "
              f"findings {len(findings)}", flush=True)
        assert not lost and not undelivered and not different and not half and twice == 0, (lost, undelivered, different, half)
        assert len(erased) == len(set(erased)) and set(erased) == {i for i, r in here.items() if r["state"] == "erased"}
        assert options.kills < 200 or erased and set_aside, "nothing was erased or set aside: this seed shows too little"
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
