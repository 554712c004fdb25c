"""An origin for one test: a folder over HTTPS, a gRPC service, or a WebSocket that echoes.

serve.py KIND CERTIFICATE KEY FOLDER; writes its port in a line of its own once it listens.
"""

import functools
import http.server
import ssl
import sys
from concurrent import futures


def folder(certificate, key, path):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=path)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_address[1], flush=True)
    server.serve_forever()


def grpc(certificate, key, _):
    import grpc

    def say(request, context):
        context.set_trailing_metadata((("x-length", str(len(request))),))
        if request == b"fail":
            context.abort(grpc.StatusCode.NOT_FOUND, "no such word")
        return request.upper()

    def count(requests, _):
        for request in requests:
            for byte in request:
                yield bytes([byte])

    methods = {
        "Say": grpc.unary_unary_rpc_method_handler(say),
        "Count": grpc.stream_stream_rpc_method_handler(count),
    }
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", methods),))
    with open(key, "rb") as key, open(certificate, "rb") as certificate:
        credentials = grpc.ssl_server_credentials([(key.read(), certificate.read())])
    print(server.add_secure_port("127.0.0.1:0", credentials), flush=True)
    server.start()
    server.wait_for_termination()


def websocket(certificate, key, _):
    from websockets.sync.server import serve

    def echo(connection):
        for message in connection:
            connection.send(message)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serve(echo, "127.0.0.1", 0, ssl=context, compression="deflate") as server:
        print(server.socket.getsockname()[1], flush=True)
        server.serve_forever()


{"folder": folder, "grpc": grpc, "websocket": websocket}[sys.argv[1]](*sys.argv[2:])
