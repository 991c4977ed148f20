"""Clients that ask for TLS in the clear: `clients.py KIND PORT CA`. What went well is printed."""

import imaplib
import poplib
import smtplib
import socket
import ssl
import sys


def smtp(port, context):
    client = smtplib.SMTP("localhost", port, local_hostname="me", timeout=20)
    client.starttls(context=context)
    print(client.ehlo("me"))
    client.quit()


def imap(port, context):
    client = imaplib.IMAP4("localhost", port, timeout=20)
    client.starttls(ssl_context=context)
    print(client.noop())
    client.logout()


def pop3(port, context):
    client = poplib.POP3("localhost", port, timeout=20)
    client.stls(context=context)
    print(client.noop())
    client.quit()


def dribble(port, context):
    """One of SMTP that sends every byte of the wire alone."""
    wire = socket.create_connection(("localhost", port), 20)
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(data):
        for byte in data:
            wire.sendall(bytes([byte]))

    def lines(count):
        text = b""
        while text.count(b"\n") < count:
            text += wire.recv(1)

    lines(1)
    send(b"EHLO me\r\n")
    lines(2)
    send(b"STARTTLS\r\n")
    lines(1)
    come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
    within = context.wrap_bio(come, go, server_hostname="localhost")

    def do(step):
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                done = None
            send(go.read())
            if done is not None:
                return done
            come.write(wire.recv(65536))

    do(lambda: within.do_handshake() or True)
    do(lambda: within.write(b"EHLO me\r\n"))
    print(do(within.read))


kind, port, ca = sys.argv[1], int(sys.argv[2]), sys.argv[3]
globals()[kind](port, ssl.create_default_context(cafile=ca))
