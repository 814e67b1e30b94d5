"""The servers: started, asked, interrupted and ended."""

import http.client
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import program


class Server:
    """A server that runs while the `with` block does."""

    def __init__(self, *arguments, before=()):
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [*before, *program.command, *map(str, arguments)], text=True,
            stdout=subprocess.PIPE, stderr=self.errors)
        self.line = self.process.stdout.readline()
        match = re.fullmatch(r"serving on http://127\.0\.0\.1:(\d+)/\n",
                             self.line)
        self.port = int(match[1]) if match else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port,
                                          timeout=program.LIMIT)

    def get(self, path="/"):
        """The status and the body of an answer."""
        connection = self.connect()
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body

    def stderr(self):
        self.errors.seek(0)
        return self.errors.read()


class AnyServer(program.TestCase):
    """What holds for both."""

    def test_it_says_where_it_serves(self):
        with Server("--port", 0) as server:
            self.assertIsNotNone(server.port, server.line + server.stderr())

    def test_it_serves_on_the_port_it_is_told(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with Server("--port", port) as server:
            self.assertEqual(server.port, port)
            self.assertEqual(server.get()[0], 200)

    def test_it_answers_head_as_get_without_a_body(self):
        with Server("--port", 0) as server:
            answers = []
            for method in "GET", "HEAD":
                with socket.create_connection(("127.0.0.1",
                                               server.port)) as client:
                    client.sendall(method.encode() + b" / HTTP/1.0\r\n\r\n")
                    answers.append(client.makefile("rb").read())
            got, head = (re.sub(rb"\r\nDate: .*", b"", a) for a in answers)
            self.assertIn(b" 200 OK\r\n", head)
            self.assertTrue(head.endswith(b"\r\n\r\n"), head)
            self.assertTrue(got.startswith(head), (got, head))

    def test_it_logs_requests_as_python_does(self):
        with Server("--port", 0) as server:
            server.get("/")
            self.assertRegex(
                server.stderr(),
                r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4} \d\d:\d\d:\d\d\] '
                r'"GET / HTTP/1\.1" 200 -')

    def test_it_ends_cleanly(self):
        for number in signal.SIGINT, signal.SIGTERM:
            with Server("--port", 0) as server:
                self.assertEqual(server.get()[0], 200)
                server.process.send_signal(number)
                status = server.process.wait(program.LIMIT)
                self.assertEqual(status, 0, server.stderr())
                self.assertNotIn("rror", server.stderr())
                with self.assertRaises(ConnectionRefusedError):
                    server.get()

    def test_it_ends_while_a_client_says_nothing(self):
        with Server("--port", 0) as server:
            with socket.create_connection(("127.0.0.1", server.port)):
                self.assertEqual(server.get()[0], 200)
                server.process.send_signal(signal.SIGTERM)
                self.assertEqual(server.process.wait(program.LIMIT), 0)

    def test_it_finishes_what_it_has_begun(self):
        with Server("--port", 0) as server:
            with self.half_a_request(server) as client:
                server.process.send_signal(signal.SIGTERM)
                self.await_refusal(server)
                client.sendall(b"\r\n")
                self.assertIn(b" 200 OK\r\n", client.makefile("rb").read())
                self.assertEqual(server.process.wait(program.LIMIT), 0)

    def test_the_second_signal_ends_it_at_once(self):
        with Server("--port", 0) as server:
            with self.half_a_request(server) as client:
                server.process.send_signal(signal.SIGTERM)
                self.await_refusal(server)
                server.process.send_signal(signal.SIGINT)
                self.assertEqual(server.process.wait(program.LIMIT), 1)
                self.assertEqual(client.makefile("rb").read(), b"")

    def half_a_request(self, server):
        client = socket.create_connection(("127.0.0.1", server.port))
        client.sendall(b"GET / HTTP/1.0\r\n")
        self.assertEqual(server.get()[0], 200)  # so the other half is read
        return client

    def await_refusal(self, server):
        """Waits until it accepts nobody any more."""
        end = time.monotonic() + program.LIMIT
        with self.assertRaises((ConnectionRefusedError,
                                ConnectionResetError)):
            while time.monotonic() < end:
                with socket.create_connection(("127.0.0.1", server.port)):
                    time.sleep(0.01)

    def test_sigquit_lists_the_coroutines(self):
        with Server("--port", 0) as server:
            with socket.create_connection(("127.0.0.1", server.port)):
                server.get()
                before = server.stderr()
                server.process.send_signal(signal.SIGQUIT)
                end = time.monotonic() + program.LIMIT
                while server.stderr() == before:
                    self.assertLess(time.monotonic(), end, "no list")
                    time.sleep(0.01)
                self.assertEqual(server.get()[0], 200)
                # Who serves the silent client waits to read from it.
                listed = server.stderr()[len(before):]
                self.assertGreaterEqual(listed.count("\n"), 2, listed)

    @unittest.skipUnless(os.path.isdir("/proc/self/fd"), "Linux only")
    def test_no_socket_becomes_a_standard_stream(self):
        for closed in "0<&-", "2>&-", "0<&- 2>&-":
            shell = ["sh", "-c", f'exec "$@" {closed}', "sh"]
            with Server("--port", 0, before=shell) as server:
                self.assertEqual(server.get()[0], 200)
                for number in re.findall("[02]", closed):
                    target = os.readlink(
                        f"/proc/{server.process.pid}/fd/{number}")
                    self.assertEqual(target, "/dev/null", closed)

    def test_bad_ports_are_refused(self):
        for port in "http", "-1", "65536", "80x", "":
            self.refused("--port", port)
        self.refused("--port")
        self.refused("1", "2", "3")

    def test_a_port_in_use_is_refused(self):
        with Server("--port", 0) as server:
            self.assertRegex(self.refused("--port", server.port),
                             "(?i)address.*in use")

    @unittest.skipIf(os.getuid() != 0, "only root can become nobody")
    def test_a_privileged_port_is_refused(self):
        nobody = 65534
        try:
            subprocess.run([*program.command, "--help"], user=nobody,
                           stdout=subprocess.DEVNULL, check=True)
        except (PermissionError, subprocess.CalledProcessError):
            self.skipTest("nobody cannot run a program in this folder")
        try:
            with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as file:
                if int(file.read()) < 2:
                    self.skipTest("no port is privileged here")
        except FileNotFoundError:
            pass
        self.assertRegex(self.refused("--port", 1, user=nobody),
                         "(?i)permission denied")


class CometServer(AnyServer):

    def test_who_waits_is_told(self):
        with Server("--port", 0) as server:
            self.assertEqual(server.get("/"), (200, "0"))
            told = []
            waiters = [threading.Thread(
                target=lambda: told.append(server.get("/wait")))
                for _ in range(3)]
            for waiter in waiters:
                waiter.start()
            end = time.monotonic() + program.LIMIT
            while server.get("/") != (200, "3"):
                self.assertLess(time.monotonic(), end, "never 3 waiters")
            self.assertEqual(server.get("/notify"), (200, "3"))
            for waiter in waiters:
                waiter.join()
            self.assertEqual(told, [(200, "3")] * 3)
            self.assertEqual(server.get("/"), (200, "0"))


    def test_who_waits_is_told_at_the_end(self):
        with Server("--port", 0) as server:
            with socket.create_connection(("127.0.0.1",
                                           server.port)) as client:
                client.sendall(b"GET /wait HTTP/1.0\r\n\r\n")
                end = time.monotonic() + program.LIMIT
                while server.get("/") != (200, "1"):
                    self.assertLess(time.monotonic(), end, "never 1 waiter")
                server.process.send_signal(signal.SIGTERM)
                answer = client.makefile("rb").read()
                self.assertTrue(answer.endswith(b"\r\n\r\n1"), answer)
                self.assertEqual(server.process.wait(program.LIMIT), 0)


class HelloServer(AnyServer):

    def test_it_greets(self):
        with Server("--port", 0) as server:
            status, body = server.get("/")
            self.assertEqual(status, 200)
            self.assertRegex(body, "(?i)hello")

    def test_it_greets_a_client_with_a_query(self):
        with Server("--port", 0) as server:
            self.assertEqual(server.get("/?who=1"), server.get("/"))
            self.assertEqual(server.get("/x?/")[0], 404)

    def test_a_browser_that_wants_an_icon_gets_none(self):
        with Server("--port", 0) as server:
            self.assertEqual(server.get("/favicon.ico"), (204, ""))

    def test_load_generators_know_where_the_answer_ends(self):
        with Server("--port", 0) as server:
            connection = server.connect()
            connection.request("GET", "/")
            answer = connection.getresponse()
            self.assertEqual(int(answer.getheader("Content-Length")),
                             len(answer.read()))
            connection.close()

    def test_methods_it_does_not_know(self):
        with Server("--port", 0) as server:
            connection = server.connect()
            connection.request("BREW", "/")
            self.assertEqual(connection.getresponse().status, 501)
            connection.close()


def load_tests(loader, _tests, _pattern):
    kind = {"comet-server": CometServer, "hello-server": HelloServer}
    return loader.loadTestsFromTestCase(kind[program.name()])


program.main()
