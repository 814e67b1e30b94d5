"""Raw requests, good and bad: our server and Python's http.server must say
the same, or differ for a reason that stands here, with what ours must say.

What is compared is the class of each status on a connection, such as 4xx. An
answer without a status line, as HTTP/0.9 has it, counts by the code in its
page: Python answers like that whoever names no version that it knows. We do
so for HTTP/0.9 only.

The reasons are those of Python 3.11.2. A later Python may have become as
strict as our server, so only with 3.11.2 or an earlier one a reason is stale
if both servers say the same.

usage: test_http.py SERVER        compares
       test_http.py SERVER --list prints every request, and what both said
"""

import http.server
import re
import socket
import subprocess
import sys
import threading
import unittest

LIMIT = 30  # seconds; whoever takes longer hangs


# -- The two servers --------------------------------------------------------

class Handler(http.server.BaseHTTPRequestHandler):
    """The same as Handler in http_server.cpp."""

    def do_GET(self):
        self.reply(b"got " + self.path.encode("latin-1"))

    def do_HEAD(self):
        self.reply(b"")

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        self.reply(b"posted " + self.rfile.read(length))

    def reply(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Theirs(http.server.ThreadingHTTPServer):
    """Python's server, in a thread."""

    def __init__(self, protocol):
        handler = type("Handler", (Handler,), {"protocol_version": protocol})
        super().__init__(("127.0.0.1", 0), handler)
        self.port = self.server_port
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        pass  # a handler that throws closes the connection

    def stop(self):
        self.shutdown()
        self.server_close()


class Ours:
    """Our server, in a process."""

    def __init__(self, protocol):
        self.process = subprocess.Popen(
            [*COMMAND, protocol], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.port = int(self.process.stdout.readline())

    def stop(self):
        self.process.terminate()
        self.process.wait(LIMIT)
        self.process.stdout.close()


def ask(server, request):
    """All that a server says to a client that ends after its request."""
    answer = b""
    with socket.create_connection(("127.0.0.1", server.port),
                                  timeout=LIMIT) as client:
        try:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has closed before it had read all
        try:
            while chunk := client.recv(65536):
                answer += chunk
        except ConnectionError:
            pass
    return answer


def statuses(answer):
    """The statuses of the answers, and of error pages without a status."""
    found = []
    for status, page in re.findall(rb"HTTP/1\.[01] (\d{3}) |"
                                   rb"Error (?:code: )?(\d{3})<", answer):
        if status:
            found.append(int(status))
        elif not found or int(page) != found[-1]:
            found.append(int(page))
    return found or (["no headers"] if answer else [])


def classes(found):
    return [s // 100 if isinstance(s, int) else s for s in found]


# -- The requests -----------------------------------------------------------

CASES = []  # protocol, request, why the answers differ or None, ours then
REFERENCE = (3, 11, 2)  # the Python whose answers the reasons are about


def with_host(request):
    """The request, with the Host header that HTTP/1.1 demands."""
    return re.sub(r"([ \t\f\xa0]HTTP/1\.[1-9][ ]*)(\r?\n)(?!host:)",
                  r"\1\2Host: a\2", request, flags=re.I)


def case(request, why=None, ours=(4,), differs_in=("HTTP/1.0", "HTTP/1.1"),
         host=True):
    if host:
        request = with_host(request)
    for protocol in "HTTP/1.0", "HTTP/1.1":
        CASES.append((protocol, request.encode("latin-1"),
                      why if protocol in differs_in else None, list(ours)))


def get(headers, path="/"):
    return f"GET {path} HTTP/1.1\r\n{headers}\r\n"


def post(headers, body=""):
    return f"POST / HTTP/1.1\r\n{headers}\r\n{body}"


NEXT = "GET /next HTTP/1.1\r\n\r\n"
KEPT = ["HTTP/1.1"]  # where the connection goes on after an answer

# Request lines.
for line in (
        "GET / HTTP/1.0", "GET / HTTP/1.1", "HEAD / HTTP/1.0",
        "HEAD / HTTP/1.1", "POST / HTTP/1.0", "GET / HTTP/1.2",
        "GET / HTTP/1.9", "GET /a?b=c&d#e HTTP/1.1",
        "GET http://example.org/ HTTP/1.1", "GET //evil//x HTTP/1.1",
        "GET ///x HTTP/1.0", "GET /%00%0d%0a HTTP/1.1", "GET /../.. HTTP/1.0",
        "GET /\xe4\xf6\xfc HTTP/1.1", "GET /" + "x" * 60000 + " HTTP/1.1",
        "  GET / HTTP/1.1", "GET / HTTP/1.1  ", "GET   /   HTTP/1.1",
        "GET\t/\tHTTP/1.1", "GET /\tHTTP/1.0", "PUT / HTTP/1.1",
        "DELETE / HTTP/1.1", "PATCH / HTTP/1.0", "OPTIONS * HTTP/1.1",
        "TRACE / HTTP/1.1", "CONNECT example.org:443 HTTP/1.1",
        "BREW /pot HTTP/1.0", "get / HTTP/1.1", "Get / HTTP/1.1",
        "G" * 1000 + " / HTTP/1.0", "GET / HTTP/0.9",
        "GET / HTTP/0.8", "GET / HTTP/2.0", "GET / HTTP/2", "GET / HTTP/3.0",
        "GET / HTTP/1", "GET / HTTP/1.", "GET / HTTP/.1",
        "GET / HTTP/", "GET / HTTP", "GET / HTP/1.0", "GET / http/1.0",
        "GET / HTTP/1.x", "GET / HTTP/x.1", "GET / HTTP/1.0.1",
        "GET / HTTP/1,0", "GET / HTTP/0x1.0",
        "GET / HTTP/1.1 more", "GET / a HTTP/1.1", "GET / a b c HTTP/1.1",
        "GET", "HEAD", "G", "POST /", "HEAD /", "BREW /",
        "GET / FTP/1.0", "HTTP/1.1 200 OK",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "\x80\x81",
        "GET / HTTP/1.\xb2"):
    case(line + "\r\n\r\n")
for version in ("-1.0", "1.-1", "+1.0", "1.+1", "1_1.0", "10.0", "01.1",
                "1.01", "1" * 3000 + ".0"):
    case(f"GET / HTTP/{version}\r\n\r\n",
         "A version is a digit, a dot and a digit (RFC 9112 section 2.3); "
         "Python takes all that its int() takes.")
case("GET /old\r\n")
case("GET /old\n")
case("GET /" + "x" * 70000 + " HTTP/1.1\r\n\r\n")
case("x" * 200000)
case("GET /" + "x" * 65536)
case("")
case("\r\n")
case("\n")
case("\r\n\r\n\r\n")
case("\r\nGET / HTTP/1.1\r\n\r\n",
     "An empty line before a request is skipped (RFC 9112 section 2.2).", [2])
case(" \r\n", "A line of spaces is not empty.")
for line in ("GET * HTTP/1.1", "GET HTTP/1.1", "GET a HTTP/1.1",
             "GET \\a HTTP/1.0", "GET ftp://a/ HTTP/1.1",
             "GET http:/// HTTP/1.1", "GET http://a@b/ HTTP/1.1"):
    case(line + "\r\n\r\n", "A target is a path, a URI of http, `host:port` "
         "for CONNECT or `*` for OPTIONS (RFC 9112 section 3.2).")
for line in "G@T / HTTP/1.1", "/ GET HTTP/1.0", "G\xe4T / HTTP/1.0":
    case(line + "\r\n\r\n",
         "A method is a token (RFC 9110 section 9.1); Python says 501.")
case("GET / \r\n\r\n", "A request of HTTP/0.9 has two words and one space.")

# Hosts.
for header in ("", "Host: a b\r\n", "Host: a@b\r\n", "Host: a/b\r\n",
               "Host: a:x\r\n", "Host: a:65536\r\n", "Host: [::1\r\n",
               "Host: a%2\r\n", "Host: a\r\nHost: a\r\n", "Host: a, b\r\n"):
    case(f"GET / HTTP/1.1\r\n{header}\r\n",
         "HTTP/1.1 has one Host, which is one (RFC 9112 section 3.2).",
         host=False)
for header in ("Host:\r\n", "Host: a.b:80\r\n", "Host: [::1]:80\r\n",
               "Host: 127.0.0.1:\r\n", "host: A%20b\r\n"):
    case(f"GET / HTTP/1.1\r\n{header}\r\n", host=False)
case("GET / HTTP/1.0\r\n\r\n")

# Line ends.
for ends in ("\n", "\r\n"):
    for more in ("\n", "\r\n"):
        case(f"GET / HTTP/1.1{ends}Host: a{more}{ends}")
        case(f"POST / HTTP/1.0{ends}Content-Length: 2{more}{ends}ab")

# Headers.
for header in (
        "", "Host: a", "host: a", "HOST:a", "A: ", "A:", "A:  b  ", "A:\tb",
        "A: b: c", "A: b\r\nA: b", "A: b\r\na: c", "A: \xff\xfe",
        "A: " + "x" * 65000, "A: " + "x" * 70000, "X" * 70000 + ": a",
        "X" * 60000 + ": a", "A!#$%&'*+-.^_`|~9: b", "Connection: close",
        "Connection: keep-alive", "Connection: Keep-Alive",
        "Connection: upgrade", "Connection: ", "Upgrade: websocket",
        "Expect: nothing", "Range: bytes=0-", "Accept: */*",
        "Cookie: a=b; c=d", "Authorization: Basic eA=="):
    lines = header + "\r\n" if header else ""
    case(get(lines))
    case(get(lines) + NEXT)
for n in (1, 50, 98, 100, 101, 150, 1000):  # and the Host
    case(get("".join(f"X-{i}: y\r\n" for i in range(n))))
case(get("".join(f"X-{i}: y\r\n" for i in range(99))),
     "Python counts the empty line, too.", [2])
case(get("".join(f"X-{i}: {'y' * 10000}\r\n" for i in range(7))),
     "A head has a limit, and not only each of its lines.")
for header in ("no colon", ": a", "A : b", "A\t: b", "A b: c", " A: b",
               "(: a", "A\x80: b", "A: b\r\n c", "A: b\r\n\tc", "A: \0",
               "A: b\rC: d", "A\0: b", "A: \x01", "A: b\r", "A: \x7f"):
    case(get(header + "\r\n"),
         "Python guesses, as for mail, what this header was meant to be. A "
         "proxy before the server may guess something else.")

# Bytes that no request has.
for line in ("GET /\0 HTTP/1.1", "GET /\ra HTTP/1.1", "GET / HTTP/1.1\r",
             "GET /\x01 HTTP/1.1", "G\0T / HTTP/1.1", "GET\v/\fHTTP/1.1",
             "GET /\x7f HTTP/1.1", "\0", "GET\xa0/\xa0HTTP/1.1",
             "GET\x85/ HTTP/1.1"):
    same = line in ("GET /\ra HTTP/1.1", "\0")
    case(line + "\r\n\r\n",
         None if same else "Python takes all that Unicode calls a space for "
         "one, and other control characters for parts of a word.")

# Requests that end too early.
whole = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
for n in range(1, len(whole)):
    no_request_anyhow = n <= len("GET ") or 0 < len("GET / HTTP/1.1") - n < 8
    case(whole[:n], None if no_request_anyhow else
         "Python takes the end of file for the end of a line and of the "
         "headers. But what is cut off may say what the request does.")
case(whole)

# Bodies by length.
for headers, body in (
        ("Content-Length: 0", ""), ("Content-Length: 4", "body"),
        ("content-length: 4", "body"), ("Content-Length:4", "body"),
        ("Content-Length: 004", "body"), ("", ""),
        ("Content-Length: 4\r\nExpect: 100-continue", "body"),
        ("Content-Length: 4\r\nExpect: 100-Continue", "body"),
        ("Content-Length: 4\r\nContent-Length: 4", "body"),
        ("Content-Length: 70000", "x" * 70000),
        ("Content-Length: 4\r\nConnection: close", "body")):
    lines = headers + "\r\n" if headers else ""
    case(post(lines, body))
    case(post(lines, body) + NEXT)
for length in ("-1", "+4", "4x", "x", "", "0x4", "4.0", "4 4", "1,1", "1_0",
               "4;", "99999999999999999999"):
    case(post(f"Content-Length: {length}\r\n", "body"),
         "A length is digits. In Python the handler finds out, or not.")
case(post("Content-Length: 10\r\n", "body"),
     "Half a body is none. Python's handler gets that half.")
case(post("Content-Length: 4\r\nContent-Length: 5\r\n", "body1"),
     "Which of the two is it? Python takes the first.")
for more, ours in ("", [2]), (NEXT, [2, 2]):
    case(get("Content-Length: 4\r\n") + "body" + more,
         "Python takes what its handler leaves for the next request.", ours,
         differs_in=KEPT)
case(post("", "body"))

# Bodies in chunks.
CHUNKED = "Transfer-Encoding: chunked\r\n"
NO_CHUNKS = "Python's server knows no transfer codings."
for coding in "chunked", "Chunked", "CHUNKED":
    case(post(f"Transfer-Encoding: {coding}\r\n", "0\r\n\r\n"),
         NO_CHUNKS, [2], differs_in=KEPT)
for coding, ours in (("gzip", 4), ("gzip, chunked", 5), ("identity", 4),
                     ("chunked, chunked", 5), ("", 4)):
    case(post(f"Transfer-Encoding: {coding}\r\n", "0\r\n\r\n"), NO_CHUNKS,
         [ours])
case(post(CHUNKED, "2\r\nab\r\n0\r\n\r\n") + NEXT, NO_CHUNKS, [2, 2],
     differs_in=KEPT)
case(post(CHUNKED + "Content-Length: 2\r\n", "2\r\nab\r\n0\r\n\r\n"),
     NO_CHUNKS)
case(post(CHUNKED, "x\r\n"), NO_CHUNKS)
case("POST / HTTP/1.0\r\n" + CHUNKED + "\r\n0\r\n\r\n", NO_CHUNKS)

# Connections that go on, or not.
for version in ("1.0", "1.1"):
    for connection in ("", "Connection: close\r\n",
                       "Connection: keep-alive\r\n"):
        for method in ("GET", "HEAD"):
            case(f"{method} / HTTP/{version}\r\n{connection}\r\n" + NEXT)
case(NEXT * 20)
case(NEXT + "BREW / HTTP/1.1\r\n\r\n" + NEXT)
case(NEXT + "GET /old\r\n" + NEXT)
case(NEXT + "\r\n" + NEXT,
     "An empty line before a request is skipped (RFC 9112 section 2.2).",
     [2, 2], differs_in=KEPT)
case(NEXT + "bad\r\n\r\n" + NEXT)


# -- The comparison ---------------------------------------------------------

class Differential(unittest.TestCase):

    def compare(self, protocol):
        ours, theirs = Ours(protocol), Theirs(protocol)
        self.addCleanup(ours.stop)
        self.addCleanup(theirs.stop)
        for asked, request, why, expected in CASES:
            if asked != protocol:
                continue
            a = statuses(ask(ours, request))
            b = statuses(ask(theirs, request))
            if LIST:
                print(protocol, f"ours {a}, theirs {b}", request[:60],
                      why or "", sep="\t")
            with self.subTest(request[:60], ours=a, theirs=b):
                if why:
                    self.assertEqual(classes(a), expected, why)
                    if sys.version_info[:3] <= REFERENCE:
                        self.assertNotEqual(classes(a), classes(b),
                                            "the same, but listed: " + why)
                else:
                    self.assertEqual(classes(a), classes(b))

    def test_one_request_to_a_connection(self):
        self.compare("HTTP/1.0")

    def test_connections_that_go_on(self):
        self.compare("HTTP/1.1")


LIST = "--list" in sys.argv
COMMAND = [word for word in sys.argv[1:] if word != "--list"]
unittest.main(argv=sys.argv[:1])
