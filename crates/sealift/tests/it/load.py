"""Steady requests until standard input ends: load.py URL RATE AUTHORITY. Prints `started` after the first successes, then
one JSON object: requests, failed, retried, longest_gap_ms, words."""

import http.client
import json
import ssl
import sys
import threading
import time
import urllib.parse

TIMEOUT = 5.0  # seconds for one request
WORKERS = 4  # half of them keep their connection
MOST_WORDS = 10

url, rate = urllib.parse.urlsplit(sys.argv[1]), int(sys.argv[2])
context = ssl.create_default_context(cafile=sys.argv[3])
over = threading.Event()
lock = threading.Lock()
begin = time.monotonic()
tally = {"requests": 0, "failed": 0, "retried": 0, "words": []}
successes = [begin]


def connect():
    return http.client.HTTPSConnection(url.hostname, url.port, timeout=TIMEOUT, context=context)


def ask(connection):
    connection.request("GET", url.path or "/")
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise ValueError(f"status {answer.status}")


def once(connection, served):
    """One request as a client makes it. Returns whether it had to be made again."""
    try:
        ask(connection)
        return False
    except (http.client.RemoteDisconnected, ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
        connection.close()
        if not served:
            raise
        # The server closed a connection that it had kept, before any byte of an answer.
        ask(connection)
        return True


def work(kept, first, started):
    connection, served, number = connect(), False, 0
    while not over.is_set():
        due = begin + (first + number * WORKERS) / rate
        number += 1
        over.wait(max(0.0, due - time.monotonic()))
        sent = time.monotonic()
        words, retried = None, False
        try:
            retried = once(connection, served)
            served = kept
        except (OSError, http.client.HTTPException, ValueError) as error:
            words = f"{sent - begin:.3f} s, {'kept' if kept else 'fresh'}: {type(error).__name__}: {error}"
            connection.close()
            served = False
        if not kept:
            connection.close()
        with lock:
            tally["requests"] += 1
            tally["retried"] += retried
            if words is None:
                successes.append(time.monotonic())
                started.set()
            else:
                tally["failed"] += 1
                if len(tally["words"]) < MOST_WORDS:
                    tally["words"].append(words)


events = [threading.Event() for _ in range(WORKERS)]
threads = [threading.Thread(target=work, args=(n % 2 == 0, n, events[n])) for n in range(WORKERS)]
for thread in threads:
    thread.start()
for event in events:
    # Where nothing ever succeeds, the counts say so.
    event.wait(2 * TIMEOUT)
print("started", flush=True)
sys.stdin.read()
over.set()
for thread in threads:
    thread.join()
successes.append(time.monotonic())
successes.sort()
gaps = [after - before for before, after in zip(successes, successes[1:])]
tally["longest_gap_ms"] = int(max(gaps) * 1000)
print(json.dumps(tally), flush=True)
