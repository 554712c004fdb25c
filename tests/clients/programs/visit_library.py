"""Fetches https://HOST/ through a proxy with one of the libraries that people use.

Usage: visit_library.py LIBRARY PROXY HOST TRUST TLS PIN
LIBRARY is requests, httpx, aiohttp or urllib3. TLS is 1.2, 1.3 or any. With a PIN other than - the certificate has to
have a fingerprint that none has (aiohttp and urllib3 alone can demand one). aiohttp forgets the fingerprint where it goes
through a proxy (3.8): with one, PROXY is a port that leads to the host itself.
Exit codes: 0 an answer came, 3 the certificate was refused, 1 anything else.
"""

import hashlib
import socket
import ssl
import sys

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
TIMEOUT = 30


def tls_context(trust, tls):
    context = ssl.create_default_context(cafile=trust)
    # As the versions before 3.13 do; how strict ones take a chain is seen with another program.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if tls in VERSIONS:
        context.minimum_version = context.maximum_version = VERSIONS[tls]
    return context


def by_requests(url, proxy, context, trust, _):
    import requests
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *arguments, **options):
            return super().init_poolmanager(*arguments, ssl_context=context, **options)

        def proxy_manager_for(self, address, **options):
            return super().proxy_manager_for(address, ssl_context=context, **options)

    session = requests.Session()
    session.trust_env = False
    session.mount("https://", Adapter())
    return session.get(url, proxies={"https": proxy}, verify=trust, timeout=TIMEOUT).status_code


def by_httpx(url, proxy, context, _trust, _):
    import httpx

    try:
        client = httpx.Client(proxy=proxy, verify=context, trust_env=False, timeout=TIMEOUT)
    except TypeError:
        # Before 0.26.
        client = httpx.Client(proxies=proxy, verify=context, trust_env=False, timeout=TIMEOUT)
    with client:
        return client.get(url).status_code


def by_urllib3(url, proxy, context, _trust, fingerprint):
    import urllib3

    pinned = {"assert_fingerprint": fingerprint.hex()} if fingerprint else {}
    manager = urllib3.ProxyManager(proxy, ssl_context=context, retries=False, timeout=TIMEOUT, **pinned)
    return manager.request("GET", url).status


def by_aiohttp(url, proxy, context, _trust, fingerprint):
    import asyncio

    import aiohttp

    class Here(aiohttp.abc.AbstractResolver):
        async def resolve(self, host, port=0, family=socket.AF_INET):
            ip, here = proxy.removeprefix("http://").split(":")
            return [{"hostname": host, "host": ip, "port": int(here), "family": family, "proto": 0, "flags": 0}]

        async def close(self):
            pass

    async def fetch():
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        # With a fingerprint of the request's own, its context would be another.
        pinned = {"ssl": aiohttp.Fingerprint(fingerprint)} if fingerprint else {}
        connector = aiohttp.TCPConnector(resolver=Here(), family=socket.AF_INET, **pinned)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            async with session.get(url, ssl=context, proxy=None if fingerprint else proxy) as answer:
                return answer.status

    return asyncio.run(fetch())


LIBRARIES = {"requests": by_requests, "httpx": by_httpx, "urllib3": by_urllib3, "aiohttp": by_aiohttp}


def main(library, proxy, host, trust, tls, pin):
    fingerprint = None if pin == "-" else hashlib.sha256(pin.encode()).digest()
    try:
        url, proxy = f"https://{host}/", f"http://{proxy}"
        print(LIBRARIES[library](url, proxy, tls_context(trust, tls), trust, fingerprint))
    except Exception as error:
        print(type(error).__name__, error, file=sys.stderr)
        said = f"{type(error).__name__} {error}"
        words = ("CERTIFICATE", "certificate", "ingerprint")
        return 3 if any(word in said for word in words) else 1
    return 0


sys.exit(main(*sys.argv[1:]))
