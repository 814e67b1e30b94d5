"""The run in Python's asyncio: streams, and a task for each connection."""

import asyncio
import sys

n = int(sys.argv[1])
waiters = []


async def serve(reader, writer):
    request = await reader.readuntil(b"\r\n\r\n")
    path = request.split(b" ")[1]
    if path == b"/wait":
        told = asyncio.get_running_loop().create_future()
        waiters.append(told)
        number = await told
    elif path == b"/notify":
        number = len(waiters)
        for told in waiters:
            told.set_result(number)
        waiters.clear()
    else:
        number = len(waiters)
    writer.write(b"HTTP/1.0 200 OK\r\nContent-type: text/plain\r\n\r\n%d"
                 % number)
    await writer.drain()
    writer.close()


async def ask(connection, path):
    reader, writer = connection
    writer.write(b"GET %s HTTP/1.0\r\n\r\n" % path)
    response = await reader.read()
    writer.close()
    head, body = response.split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 "), response
    return int(body)


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=4096)
    address = server.sockets[0].getsockname()

    def connect():
        return asyncio.open_connection(*address)

    clients = [asyncio.create_task(ask(await connect(), b"/wait"))
               for _ in range(n)]
    while await ask(await connect(), b"/") != n:
        pass
    assert await ask(await connect(), b"/notify") == n
    assert set(await asyncio.gather(*clients)) == {n}
    while await ask(await connect(), b"/") != 0:
        pass
    print("done", n)


asyncio.run(main())
