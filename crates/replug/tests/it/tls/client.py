"""A TLS client that does what it is told, with every byte of the wire in its hands.

    client.py PORT OPTIONS... -- STEPS...

Options: version=1.2|1.3, name=HOST, alpn=A,B, piece=BYTES of the wire at a time, slow=BYTES that are
received before a pause, buffer=BYTES of the socket's receive buffer.

Steps: handshake, send=TEXT, pour=BYTES (a pattern), end (close_notify and FIN), notify (close_notify
alone), fin (a FIN alone), reset, read=BYTES, all (up to the end), wait (for a line on stdin), half (of
a record), show, sum (of what comes, up to the end).

Says `TEXT` it has received, or how the stream ended: `<end>` with close_notify, `<cut>` with a FIN
alone, `<reset>`, `<alert ...>`.
"""

import hashlib
import socket
import ssl
import struct
import sys
import time


def pattern(count):
    return bytes(at * 7 % 251 for at in range(251)) * (count // 251 + 1)


class Client:
    def __init__(self, port, options):
        self.piece = int(options.get("piece", 0))
        self.slow = int(options.get("slow", 0))
        self.socket = socket.socket()
        if "buffer" in options:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, int(options["buffer"]))
        self.socket.settimeout(20)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if "version" in options:
            version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
            context.minimum_version = context.maximum_version = version[options["version"]]
        if "alpn" in options:
            context.set_alpn_protocols(options["alpn"].split(","))
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.incoming, self.outgoing, server_hostname=options.get("name")
        )

    def flush(self):
        wire = self.outgoing.read()
        size = self.piece or max(len(wire), 1)
        for at in range(0, len(wire), size):
            self.socket.sendall(wire[at : at + size])
            if self.piece:
                time.sleep(0.0005)

    def feed(self):
        wire = self.socket.recv(65536)
        if wire:
            self.incoming.write(wire)
        else:
            self.incoming.write_eof()

    def drive(self, work):
        while True:
            try:
                result = work()
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
                self.feed()

    def read(self, most):
        if self.slow:
            time.sleep(0.001)
            most = min(most, self.slow)
        return self.drive(lambda: self.tls.read(most))

    def receive(self, count):
        """So many bytes, or those up to the end, and how that came."""
        got = b""
        while len(got) < count:
            try:
                part = self.read(min(count - len(got), 65536))
            except ssl.SSLZeroReturnError:
                return got, "<end>"
            except ssl.SSLEOFError:
                return got, "<cut>"
            except ConnectionResetError:
                return got, "<reset>"
            except ssl.SSLError as error:
                return got, "<alert %s>" % error.reason
            if not part:
                return got, "<end>"
            got += part
        return got, ""

    def notify(self):
        try:
            self.tls.unwrap()
        except (ssl.SSLWantReadError, ssl.SSLError):
            pass
        self.flush()

    def step(self, step):
        word, _, value = step.partition("=")
        if word == "handshake":
            try:
                self.drive(self.tls.do_handshake)
            except ssl.SSLEOFError:
                print("<cut>")
            except ssl.SSLError as error:
                print("<alert %s>" % error.reason)
            except ConnectionResetError:
                print("<reset>")
        elif word == "show":
            print(self.tls.version(), self.tls.selected_alpn_protocol(), self.tls.session_reused)
        elif word == "send":
            self.drive(lambda: self.tls.write(value.encode()))
        elif word == "pour":
            rest = memoryview(pattern(int(value)))[: int(value)]
            while rest:
                rest = rest[self.drive(lambda: self.tls.write(rest[:65536])) :]
        elif word == "half":
            self.tls.write(b"cut in the middle")
            wire = self.outgoing.read()
            self.socket.sendall(wire[: len(wire) // 2])
        elif word == "notify":
            self.notify()
        elif word == "end":
            self.notify()
            self.socket.shutdown(socket.SHUT_WR)
        elif word == "fin":
            self.socket.shutdown(socket.SHUT_WR)
        elif word == "reset":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.socket.close()
        elif word == "wait":
            sys.stdin.readline()
        elif word in ("read", "all"):
            got, end = self.receive(int(value) if value else 1 << 60)
            print(got.decode() + end)
        elif word == "sum":
            digest, count = hashlib.sha256(), 0
            while True:
                got, end = self.receive(1 << 20)
                digest.update(got)
                count += len(got)
                if end:
                    break
            print(count, digest.hexdigest() == hashlib.sha256(pattern(count)[:count]).hexdigest(), end)
        else:
            raise SystemExit("no such step: " + step)
        sys.stdout.flush()


def main():
    words = sys.argv[2:]
    at = words.index("--")
    client = Client(int(sys.argv[1]), dict(word.split("=", 1) for word in words[:at]))
    for step in words[at + 1 :]:
        client.step(step)


main()
