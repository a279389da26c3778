"""What the benches of memory watch."""

import threading
import time


class Watch(threading.Thread):
    """The highest RssAnon seen, every 5 ms."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.node = node
        self.peak = 0
        self.is_over = False
        self.start()

    def run(self):
        while not self.is_over:
            self.peak = max(self.peak, self.node.anonymous_rss_bytes())
            time.sleep(0.005)

    def end(self):
        self.is_over = True
        self.join()
        return self.peak / (1 << 20)
