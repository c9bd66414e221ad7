"""An application that uses a database through the SQLite of Python, which is another build than ours.

`sqlite_app.py DB` runs SQL from stdin, one line at a time, and answers each with one line on stdout, as
`src/bin/sqlite_app.rs` does. `sqlite_app.py DB transfers` works at full speed until stdin ends, with pauses when a line
`pause` comes, until a line `go`, and then says how much it did.
"""

import sqlite3
import sys
import threading

ACCOUNTS = 400


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def connect(path):
    return sqlite3.connect(path, isolation_level=None, timeout=20, check_same_thread=False)


def text(value):
    if value is None:
        return ""
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value)


def converse(path):
    connection = connect(path)
    for line in sys.stdin:
        try:
            last = ""
            for statement in line.rstrip("\n").split(";"):
                if statement.strip():
                    for row in connection.execute(statement):
                        last = "|".join(text(value) for value in row)
            say(f"ok {last}")
        except sqlite3.Error as error:
            say(f"error {error}")
    connection.close()


def transfer(connection, number):
    source, target, amount = number * 7919 % ACCOUNTS, (number * 104729 + 1) % ACCOUNTS, number % 97
    change = "UPDATE accounts SET balance = balance + ?2, note = randomblob(?3) WHERE id = ?1"
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(change, (source, -amount, 40 + amount))
    connection.execute(change, (target, amount, 140 - amount))
    connection.execute("UPDATE done SET transfers = transfers + 1")
    connection.execute("COMMIT")


def transfers(path):
    connection = connect(path)
    working, over, paused = threading.Event(), threading.Event(), threading.Event()
    working.set()

    def listen():
        for line in sys.stdin:
            if line.strip() == "pause":
                paused.clear()
                working.clear()
                paused.wait()
                say("ok")
            else:
                working.set()
                say("ok")
        over.set()
        working.set()

    threading.Thread(target=listen, daemon=True).start()
    number = 0
    while not over.is_set():
        if not working.is_set():
            paused.set()
            working.wait()
            continue
        transfer(connection, number)
        number += 1
    connection.close()
    say(f"ok {number}")


if len(sys.argv) > 2:
    transfers(sys.argv[1])
else:
    converse(sys.argv[1])
