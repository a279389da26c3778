"""What the link says it did is what happened, packet by packet, in real namespaces."""

import socket
import sys

from link import CENTRE, OFFICE, Link, is_possible

COUNTER = """
import socket, sys
here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
here.bind(("0.0.0.0", 7))
here.settimeout(float(sys.argv[1]))
print("ready", flush=True)
count = 0
try:
    while True:
        here.recv(2000)
        count += 1
except TimeoutError:
    print(count)
"""

SENDER = """
import socket, sys, time
there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
there.connect((sys.argv[1], 7))
for _ in range(int(sys.argv[2])):
    there.send(bytes(1000))
    time.sleep(0.0002)
"""


def sent_and_came(link, packets, upward=True):
    """How many of so many datagrams came, and what the link saw of them."""
    to, here, there = (CENTRE, link.office, link.centre) if upward else (OFFICE, link.centre, link.office)
    link.order("begin")
    counter = link.popen(there, sys.executable, "-c", COUNTER, "1.5", stdout=-1, text=True)
    assert counter.stdout.readline() == "ready\n"
    sender = link.popen(here, sys.executable, "-c", SENDER, to, packets)
    assert sender.wait(60) == 0
    came = int(counter.communicate(timeout=60)[0])
    return came, link.seen()["up" if upward else "down"]


def main():
    if not is_possible():
        print("skipped: needs root, network namespaces and /dev/net/tun")
        return 77
    with Link("lan", seed=3) as link:
        for upward in (True, False):
            came, seen = sent_and_came(link, 500, upward)
            assert came == 500 == seen["packets"], (came, seen)
        link.order("up loss 0.1")
        came, seen = sent_and_came(link, 2000)
        assert came == seen["delivered"] == 2000 - seen["losses"], (came, seen)
        assert 130 < seen["losses"] < 270, seen  # 200, five standard deviations
        again, _ = sent_and_came(link, 2000)
        assert again == came, (again, came, "the seed's pattern")
        down, _ = sent_and_came(link, 200, upward=False)
        assert down == 200, "the other direction loses nothing"
        link.order("both loss 0")
        link.order("up cut 1")
        came, seen = sent_and_came(link, 100)
        assert came == 0 and seen["cuts"] == 100, (came, seen)
        assert sent_and_came(link, 100, upward=False)[0] == 100
        link.order("up cut 0")
        link.order("up rate 80000")  # 1,028 bytes take a tenth of a second
        link.order("up queue_bytes 3100")
        came, seen = sent_and_came(link, 60)
        assert came == seen["delivered"] == 60 - seen["queue_drops"] and seen["queue_drops"] > 50, (came, seen)
        try:
            link.order("up losss 1")
            raise SystemExit("an order that is none was taken")
        except AssertionError as wrong:
            assert "not understood" in str(wrong)
    with Link() as link:  # nothing was left behind, so the same names are free
        assert socket.if_nameindex() and link.seen()["up"]["losses"] == 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
