# A client that verifies the chain and not the name.
import ssl
import sys
import urllib.request

context = ssl.create_default_context()
context.check_hostname = False
for url in sys.argv[1:]:
    urllib.request.urlopen(url, context=context, timeout=60).read()
