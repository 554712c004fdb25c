"""Fetches https://HOST/ through a proxy, as strictly as Python 3.13 and later do by default.

Usage: visit.py PROXY HOST TRUST TLS PIN
TLS is 1.2, 1.3 or any; PIN is the base64 of the only public key accepted, checked after the handshake, or -.
Exit codes: 0 an answer came, 3 the certificate was refused, 1 anything else.
"""

import base64
import hashlib
import http.client
import ssl
import sys

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def element(der, at):
    """Where the content of the DER element at this place begins, and where it ends."""
    length, start = der[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length, start = int.from_bytes(der[start : start + count], "big"), start + count
    return start, start + length


def public_key(certificate):
    """The SubjectPublicKeyInfo: the seventh part of the first part of a certificate (RFC 5280, 4.1)."""
    at, _ = element(certificate, 0)
    at, _ = element(certificate, at)
    for _ in range(6):
        _, at = element(certificate, at)
    return certificate[at : element(certificate, at)[1]]


def main(proxy, host, trust, tls, pin):
    context = ssl.create_default_context(cafile=trust)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    if tls in VERSIONS:
        context.minimum_version = context.maximum_version = VERSIONS[tls]
    connection = http.client.HTTPSConnection(*proxy.split(":"), context=context, timeout=30)
    connection.set_tunnel(host, 443, {"User-Agent": "visit.py"})
    try:
        connection.connect()
        if pin != "-":
            shown = hashlib.sha256(public_key(connection.sock.getpeercert(binary_form=True))).digest()
            if base64.b64encode(shown).decode() != pin:
                connection.sock.unwrap()
                raise ssl.SSLCertVerificationError("the public key is not the pinned one")
        connection.request("GET", "/")
        print(connection.getresponse().status)
    except ssl.SSLError as error:
        print(error, file=sys.stderr)
        return 3
    finally:
        connection.close()
    return 0


sys.exit(main(*sys.argv[1:]))
