"""Threads that hash, sleep, and hand work to each other; prints one digest per thread."""
import hashlib
import queue
import random
import sys
import threading
import time

rounds = int(sys.argv[1])
results = {}
work = queue.Queue()


def chain(number):
    value = str(number).encode()
    for i in range(rounds):
        value = hashlib.sha256(value).digest()
        if i % 20000 == 0:
            time.sleep(0.001)
    results[number] = value.hex()


def consumer():
    total = 0
    while True:
        item = work.get()
        if item is None:
            break
        total = (total * 31 + item) % 1000000007
    results["queue"] = str(total)


threads = [threading.Thread(target=chain, args=(n,)) for n in range(6)]
threads.append(threading.Thread(target=consumer))
for thread in threads:
    thread.start()
generator = random.Random(4711)
for i in range(rounds // 20):
    work.put(generator.randrange(1 << 30))
    if i % 500 == 0:
        time.sleep(0.002)
work.put(None)
for thread in threads:
    thread.join()
for key in sorted(results, key=str):
    print(key, results[key])
