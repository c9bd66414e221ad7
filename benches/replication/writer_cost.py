"""Measures what replication costs a writer: alone, beside Walkeep, beside Litestream, in turn, twice.

`writer_cost.py WALKEEP LITESTREAM SECONDS`. The writer is this process: transactions of a few pages at full speed, SQLite's
own checkpoints at 1,000 pages; first with `synchronous = FULL`, SQLite's default, where the disk bounds it, then with NORMAL,
where nothing but the processor does. Figures are ratios to the runs alone, which are made before and after; processor time
is that of the daemon, by GB of log that the writer wrote.
"""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

CHECKPOINT = 4 << 20
ROWS = 20000


class Run:
    def __init__(self, name, root, synchronous="FULL"):
        self.synchronous = synchronous
        self.name, self.directory = name, tempfile.mkdtemp(prefix=name + "-", dir=root)
        self.path = os.path.join(self.directory, "app.db")
        self.random = random.Random(1)

    def write(self, seconds):
        """Transactions at full speed: latencies in seconds, bytes of log, and how long the log was at most."""
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=10)
        connection.execute(f"PRAGMA synchronous = {self.synchronous}")
        latencies, longest, wal = [], 0, self.path + "-wal"
        begun = last_look = time.perf_counter()
        while True:
            before = time.perf_counter()
            if before > begun + seconds:
                break
            connection.execute("BEGIN IMMEDIATE")
            for _ in range(4):
                row = self.random.randrange(ROWS)
                connection.execute("UPDATE t SET v = ? WHERE id = ?", (self.random.randbytes(120).hex(), row))
            connection.execute("COMMIT")
            now = time.perf_counter()
            latencies.append(now - before)
            if now > last_look + 0.02:
                last_look = now
                longest = max(longest, os.path.getsize(wal))
        connection.close()
        return latencies, longest

    def prepare(self):
        connection = sqlite3.connect(self.path, isolation_level=None)
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO t VALUES (?, ?)", ((n, self.random.randbytes(120).hex()) for n in range(ROWS)))
        connection.execute("COMMIT")
        connection.close()


def processor_seconds(process):
    with open(f"/proc/{process.pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def beside(command, run, seconds):
    log = open(os.path.join(run.directory, "daemon.log"), "w")
    process = subprocess.Popen(command, cwd=run.directory, stdout=log, stderr=log)
    time.sleep(3)
    before = processor_seconds(process)
    measured = run.write(seconds)
    time.sleep(2)
    used = processor_seconds(process) - before
    process.terminate()
    process.wait(60)
    return measured, used


def one(name, synchronous, root, seconds, walkeep, litestream):
    run = Run(name, root, synchronous)
    run.prepare()
    used = None
    if name == "walkeep":
        measured, used = beside([walkeep, "replicate", "app.db", "store"], run, seconds)
    elif name == "litestream":
        measured, used = beside([litestream, "replicate", "app.db", "file://" + run.directory + "/store"], run, seconds)
    else:
        measured = run.write(seconds)
    shutil.rmtree(run.directory)
    latencies, longest = measured
    return {"latencies": latencies, "longest": longest, "seconds": seconds, "used": used}


def frames_per_transaction(root):
    """What a transaction writes to the log: it is the same in all runs."""
    run = Run("sizes", root)
    run.prepare()
    connection = sqlite3.connect(run.path, isolation_level=None)
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for _ in range(500):
        connection.execute("BEGIN IMMEDIATE")
        for _ in range(4):
            row = run.random.randrange(ROWS)
            connection.execute("UPDATE t SET v = ? WHERE id = ?", (run.random.randbytes(120).hex(), row))
        connection.execute("COMMIT")
    size = os.path.getsize(run.path + "-wal")
    connection.close()
    shutil.rmtree(run.directory)
    return size / 500


def quantile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def measure(synchronous, root, bytes_each, seconds, walkeep, litestream):
    """Figures of the three, by name."""
    runs = {"alone": [], "walkeep": [], "litestream": []}
    for name in ["alone", "walkeep", "litestream", "litestream", "walkeep", "alone"]:
        runs[name].append(one(name, synchronous, root, seconds, walkeep, litestream))
    figures = {}
    for name, results in runs.items():
        latencies = [latency for result in results for latency in result["latencies"]]
        rate = len(latencies) / sum(result["seconds"] for result in results)
        gigabytes = len(latencies) * bytes_each / 1e9
        used = sum(result["used"] or 0 for result in results)
        figures[name] = {
            "transactions_per_second": rate,
            "p50_ms": quantile(latencies, 0.5) * 1e3,
            "p99.9_ms": quantile(latencies, 0.999) * 1e3,
            "log_bytes_per_second": rate * bytes_each,
            "longest_log": max(result["longest"] for result in results),
            "daemon_seconds_per_gb": used / gigabytes if used else None,
        }
    return figures


def show(synchronous, figures):
    alone = figures["alone"]
    print(f"{synchronous:12}{'tx/s':>9}{'ratio':>7}{'p50 ms':>9}{'p99.9 ms':>10}{'ratio':>7}{'longest log':>13}{'CPU s/GB':>10}")
    for name, of in figures.items():
        ratio = of["transactions_per_second"] / alone["transactions_per_second"]
        slower = of["p99.9_ms"] / alone["p99.9_ms"]
        used = of["daemon_seconds_per_gb"]
        print(
            f"{name:12}{of['transactions_per_second']:9.0f}{ratio:7.2f}{of['p50_ms']:9.3f}{of['p99.9_ms']:10.3f}{slower:7.2f}"
            f"{of['longest_log'] / 1e6:10.1f} MB{'' if used is None else f'{used:10.2f}'}"
        )
    bound = 3 * CHECKPOINT + figures["walkeep"]["log_bytes_per_second"]
    print(f"bound of the log beside Walkeep (3 checkpoints and a second of writes): {bound / 1e6:.1f} MB", flush=True)


def main():
    walkeep, litestream, seconds = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), float(sys.argv[3])
    root = tempfile.mkdtemp(prefix="walkeep-bench-", dir=os.environ.get("BENCH_DIR"))
    bytes_each = frames_per_transaction(root)
    figures = {}
    for synchronous in ["FULL", "NORMAL"]:
        figures[synchronous] = measure(synchronous, root, bytes_each, seconds, walkeep, litestream)
        show(synchronous, figures[synchronous])
    shutil.rmtree(root)
    print(json.dumps(figures))


main()
