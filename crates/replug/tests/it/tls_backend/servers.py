"""Servers that speak TLS, for tests: `servers.py KIND CERT KEY [OPTION=VALUE ...]`.

Each client is served in its turn. The first line that is printed is `PORT n`.
"""

import socket
import ssl
import sys

kind, certificate, key = sys.argv[1:4]
options = dict(word.split("=", 1) for word in sys.argv[4:])

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
if "version" in options:
    context.minimum_version = context.maximum_version = ssl.TLSVersion[options["version"]]
if "ca" in options:
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(options["ca"])
if "alpn" in options:
    context.set_alpn_protocols([options["alpn"]])
names = []
context.sni_callback = lambda _socket, name, _context: names.append(name)

listening = socket.socket()
listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listening.bind(("127.0.0.1", 0))
listening.listen(16)
print("PORT", listening.getsockname()[1], flush=True)


def line(plain):
    """A line in the clear, byte by byte: what is behind it is for TLS."""
    text = b""
    while not text.endswith(b"\n"):
        byte = plain.recv(1)
        if not byte:
            return b""
        text += byte
    return text


def say(plain, text):
    plain.sendall(text.encode().replace(b"\n", b"\r\n"))


def open_smtp(plain):
    say(plain, "220-mx.example\n220 ready\n")
    while True:
        word = line(plain).split()[:1]
        if word == [b"EHLO"]:
            say(plain, "250-mx.example\n250-SIZE 1000\n250 STARTTLS\n")
        elif word == [b"STARTTLS"]:
            return say(plain, "220 go\n")
        else:
            raise OSError("not what a client says: %r" % word)


def open_imap(plain):
    say(plain, "* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] mx.example\n")
    tag, word = line(plain).split()
    assert word == b"STARTTLS", word
    say(plain, "* OK nearly\n%s OK go\n" % tag.decode())


def open_pop3(plain):
    say(plain, "+OK <1@mx.example>\n")
    assert line(plain) == b"STLS\r\n"
    say(plain, "+OK go\n")


def open_injecting(plain):
    open_smtp_until = [b"EHLO", b"STARTTLS"]
    say(plain, "220 ready\n")
    for word in open_smtp_until:
        assert line(plain).split()[0] == word
        say(plain, "250-mx\n250 STARTTLS\n" if word == b"EHLO" else "220 go\n250 injected\n")


def open_silent(plain):
    say(plain, "220 ready\n")
    line(plain)
    say(plain, "250-mx.example\n250 HELP\n")


def echo(tls):
    """Says whom it is taken for, and then each line again, until the client ends."""
    said = {
        "name": names[-1] if names else None,
        "resumed": tls.session_reused,
        "version": tls.version(),
        "alpn": tls.selected_alpn_protocol(),
        "client": dict(x[0] for x in tls.getpeercert()["subject"]) if "ca" in options else None,
    }
    if "greets" not in options:
        tls.sendall(("%s %s %s %s %s\n" % tuple(str(x) for x in said.values())).encode())
    while True:
        data = tls.recv(65536)
        if not data:
            break
        tls.sendall(data)
    tls.sendall(b"end")
    tls.unwrap()


def cut(tls):
    """Says something, and ends as an attacker would have it: without a word of TLS."""
    tls.recv(1)
    tls.sendall(b"half")
    plain = socket.socket(fileno=tls.detach())
    plain.shutdown(socket.SHUT_WR)
    while plain.recv(4096):
        pass
    plain.close()


openings = {
    "smtp": open_smtp,
    "imap": open_imap,
    "pop3": open_pop3,
    "injecting": open_injecting,
    "silent": open_silent,
}
while True:
    plain, _ = listening.accept()
    try:
        if kind in openings:
            openings[kind](plain)
        tls = context.wrap_socket(plain, server_side=True)
        (cut if kind == "cut" else echo)(tls)
    except (OSError, AssertionError, ValueError) as error:
        print("client:", repr(error), flush=True)
    finally:
        plain.close()
