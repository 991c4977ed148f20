"""An authority of which one answer is not as it should be.

Takes the files of its certificate and key, and what it does when it is asked for a certificate;
says on which port it listens.
"""

import http.server
import json
import ssl
import sys
import time

CERT, KEY, MANNER = sys.argv[1:]


def problem(kind, detail):
    return {"type": "urn:ietf:params:acme:error:" + kind, "detail": detail}


class Authority(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def say(self, status, body, headers=()):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Replay-Nonce", "AAAA")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)

    def url(self, path):
        return "https://127.0.0.1:%d/%s" % (self.server.server_port, path)

    def do_HEAD(self):
        self.say(200, b"")

    def do_GET(self):
        names = {"newNonce": "nonce", "newAccount": "account", "newOrder": "order"}
        self.say(200, {key: self.url(path) for key, path in names.items()})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/account":
            self.say(201, {"status": "valid"}, [("Location", self.url("account/1"))])
        elif self.path == "/order":
            self.order()
        elif self.path == "/authorization":
            challenge = {"type": "http-01", "url": self.url("x"), "token": "t", "status": "pending"}
            name = {"type": "dns", "value": "a.example.test"}
            self.say(200, {"identifier": name, "status": "pending", "challenges": [challenge]})

    def order(self):
        if MANNER == "limited":
            self.say(429, problem("rateLimited", "too many\n\x1b[2Jorders"))
        elif MANNER == "garbage":
            self.say(200, b"<html>", [("Location", self.url("order/1"))])
        elif MANNER == "endless":
            self.say(200, b"x" * (2 << 20), [("Location", self.url("order/1"))])
        elif MANNER == "other-proof":
            order = {
                "status": "pending",
                "authorizations": [self.url("authorization")],
                "finalize": self.url("finalize"),
            }
            self.say(201, order, [("Location", self.url("order/1"))])
        elif MANNER == "silent":
            print("asked", flush=True)
            time.sleep(600)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Authority)
server.daemon_threads = True
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(CERT, KEY)
server.socket = context.wrap_socket(server.socket, server_side=True)
print("port", server.server_port, flush=True)
server.serve_forever()
