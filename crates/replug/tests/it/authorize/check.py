#!/usr/bin/env python3
"""Decides about clients as the test wants: check.py FOLDER [BEHAVIOUR]

What it is asked stands in FOLDER/asked, and FOLDER/PID.pid while it runs. Without a behaviour it
goes by the last byte of the client's address.
"""

import os
import signal
import sys
import time

folder, behaviour = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
mark = os.path.join(folder, "%d.pid" % os.getpid())
open(mark, "w").close()


def say(text):
    sys.stdout.write(text)
    sys.stdout.flush()


def answer(asked, result, code=0, **more):
    asked = dict(asked)
    asked[6] = result
    for number, value in more.items():
        asked[int(number[1:])] = value
    say("".join("%d %s\n" % item for item in sorted(asked.items())) + "=%d\n" % code)


def questions():
    asked = {}
    # Not `for line in sys.stdin`, which would read ahead.
    for line in iter(sys.stdin.readline, ""):
        line = line.rstrip("\n")
        if line.startswith("="):
            yield asked
            asked = {}
        else:
            number, value = line.split(" ", 1)
            asked[int(number)] = value


def decide(asked, what):
    if what == "allow":
        answer(asked, "ACK")
    elif what == "deny":
        answer(asked, "NAK", _17="not this one")
    elif what == "hang":
        time.sleep(3600)
    elif what == "wait":
        go = os.path.join(folder, "go")
        while not os.path.exists(go):
            time.sleep(0.01)
        answer(asked, "ACK")
    elif what == "die":
        sys.stderr.write("giving up\n")
        sys.exit(3)
    elif what == "die-once":
        died = os.path.join(folder, "died")
        if not os.path.exists(died):
            open(died, "w").close()
            sys.exit(3)
        answer(asked, "ACK")
    elif what == "serial":
        answer(asked, "ACK", _21="0")
    elif what == "garbage":
        say("Traceback (most recent call last):\n")
    elif what == "flood":
        for number in range(100000):
            sys.stderr.write("line %d of very many\n" % number)
        answer(asked, "ACK")
    elif what == "error":
        answer(asked, "ERR")
    elif what == "pass":
        answer(asked, "ACK", code=16)


KINDS = {1: "allow", 2: "deny", 3: "hang", 4: "die", 5: "serial", 6: "garbage", 7: "flood", 8: "error",
         9: "pass", 10: "wait", 11: "die-once"}

if behaviour == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

held = []
for asked in questions():
    with open(os.path.join(folder, "asked"), "a") as log:
        fds = sorted(int(fd) for fd in os.listdir("/proc/self/fd"))
        fds = [fd for fd in fds if os.path.exists("/proc/self/fd/%d" % fd) and fd != log.fileno()]
        log.write("%r %r %r %r %r %r %r\n" % (asked, fds, os.getuid(), os.getgid(), os.getgroups(),
                                             os.getcwd(), os.environ.get("WHO")))
    if behaviour == "reversed":
        held.append(asked)
        if len(held) == 3:
            for one in reversed(held):
                decide(one, KINDS[int(one[14].split(".")[-1])])
    else:
        known = behaviour if behaviour in KINDS.values() else None
        decide(asked, known or KINDS[int(asked[14].split(".")[-1])])

if behaviour == "stubborn":
    while True:
        time.sleep(3600)
os.remove(mark)
