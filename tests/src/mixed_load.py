"""A bank that does everything to its database that an application may do, through the SQLite of Python.

`mixed_load.py DB SECONDS RATE SEED` makes up to RATE transactions a second: transfers, inserts, deletes, big
transactions, rollbacks, savepoints, schema changes, VACUUM, checkpoints. Whatever it does, the balances add up to the
same total after every transaction, and `step` rises by one with each. Says `ok N` in the end: how many it made.
"""

import random
import sqlite3
import sys
import time

ACCOUNTS = 200


class Bank:
    def __init__(self, path, seed):
        self.connection = sqlite3.connect(path, isolation_level=None, timeout=30)
        self.random = random.Random(seed)
        self.steps = 0
        self.tables = 0
        # So that larger transactions spill into the log before they commit.
        self.run("PRAGMA cache_size = 40")

    def run(self, statement, *values):
        return self.connection.execute(statement, values)

    def begin(self):
        self.run("BEGIN IMMEDIATE")
        self.run("UPDATE step SET n = n + 1")

    def commit(self):
        self.run("COMMIT")
        self.steps += 1

    def move(self):
        source, target = self.random.randrange(ACCOUNTS), self.random.randrange(ACCOUNTS)
        amount = self.random.randrange(100)
        self.run("UPDATE accounts SET balance = balance - ? WHERE id = ?", amount, source)
        self.run("UPDATE accounts SET balance = balance + ?, note = randomblob(?) WHERE id = ?", amount, amount, target)

    def add_papers(self, count):
        for _ in range(count):
            self.run("INSERT INTO papers (body) VALUES (randomblob(?))", self.random.randrange(3000))

    def transfer(self):
        self.begin()
        self.move()
        self.commit()

    def file_papers(self):
        self.begin()
        self.add_papers(self.random.randrange(1, 20))
        self.commit()

    def shred_papers(self):
        self.begin()
        self.run("DELETE FROM papers WHERE id % ? = 0", self.random.randrange(1, 5))
        self.commit()

    def audit(self):
        """A transaction that is larger than the cache."""
        self.begin()
        self.add_papers(400)
        self.run("UPDATE accounts SET note = randomblob(700)")
        self.move()
        self.commit()

    def change_of_mind(self):
        self.begin()
        self.run("UPDATE accounts SET balance = balance + 1, note = randomblob(900)")
        self.add_papers(200)
        self.run("ROLLBACK")

    def half_a_change_of_mind(self):
        self.begin()
        self.move()
        self.run("SAVEPOINT doubt")
        self.run("UPDATE accounts SET balance = 0, note = randomblob(500)")
        self.add_papers(100)
        self.run("ROLLBACK TO doubt")
        self.move()
        self.run("RELEASE doubt")
        self.commit()

    def new_branch(self):
        self.begin()
        self.tables += 1
        self.run(f"CREATE TABLE branch_{self.tables} (a, b)")
        self.run(f"CREATE INDEX branch_index_{self.tables} ON branch_{self.tables} (b)")
        self.run(f"INSERT INTO branch_{self.tables} SELECT id, note FROM accounts")
        self.commit()

    def close_branch(self):
        if self.tables:
            self.begin()
            self.run(f"DROP TABLE branch_{self.tables}")
            self.tables -= 1
            self.commit()

    def vacuum(self):
        self.run("VACUUM")

    def checkpoint(self):
        self.run(f"PRAGMA wal_checkpoint({self.random.choice(['PASSIVE', 'FULL', 'RESTART', 'TRUNCATE'])})")

    def work(self, seconds, rate):
        kinds = {
            self.transfer: 60, self.file_papers: 12, self.shred_papers: 8, self.audit: 2, self.change_of_mind: 4,
            self.half_a_change_of_mind: 5, self.new_branch: 3, self.close_branch: 3, self.vacuum: 1, self.checkpoint: 2,
        }
        begun = time.monotonic()
        turns = 0
        while time.monotonic() < begun + seconds:
            self.random.choices(list(kinds), list(kinds.values()))[0]()
            turns += 1
            time.sleep(max(0.0, begun + turns / rate - time.monotonic()))
        self.connection.close()
        return self.steps


database, seconds, rate, seed = sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
print("ok", Bank(database, seed).work(seconds, rate))
