"""The client of one test: ask.py KIND CA; the proxy is in its environment. Says what it was answered."""

import ssl
import sys


def grpc(ca):
    import grpc

    with open(ca, "rb") as ca:
        credentials = grpc.ssl_channel_credentials(ca.read())
    with grpc.secure_channel("site.test:443", credentials) as channel:
        say = channel.unary_unary("/test.Echo/Say")
        answer, call = say.with_call(b"hello", timeout=30)
        print(answer.decode(), dict(call.trailing_metadata())["x-length"], call.code().name)
        try:
            say(b"fail", timeout=30)
        except grpc.RpcError as error:
            print(error.code().name, error.details(), dict(error.trailing_metadata())["x-length"])
        count = channel.stream_stream("/test.Echo/Count")
        # Each answer is there before the next request is made.
        answers = []

        def requests():
            yield b"a"
            while len(answers) < 1:
                pass
            yield b"bc"

        for answer in count(requests(), timeout=30):
            answers.append(answer.decode())
        print("".join(answers))


def websocket(ca):
    from websockets.sync.client import connect

    context = ssl.create_default_context(cafile=ca)
    with connect("wss://site.test/chat", ssl=context, compression="deflate") as connection:
        print([extension.name for extension in connection.protocol.extensions])
        for message in ["short", "long " * 10000, b"\x00\xff" * 1000]:
            connection.send(message)
            print(connection.recv(timeout=30) == message)


{"grpc": grpc, "websocket": websocket}[sys.argv[1]](*sys.argv[2:])
