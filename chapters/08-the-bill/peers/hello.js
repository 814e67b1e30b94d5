// The hello server of Node.js: hello.js PORT
"use strict";

const http = require("http");

http.createServer((request, response) => {
  response.setHeader("Content-Type", "text/plain");
  response.end("Hello, world\n");
}).listen(Number(process.argv[2]), "127.0.0.1");
