// The run in Node.js: sockets, events and promises.
"use strict";

const net = require("net");
const { once } = require("events");

const n = Number(process.argv[2]);
let waiters = [];

function answer(socket, number) {
  socket.end(`HTTP/1.0 200 OK\r\nContent-type: text/plain\r\n\r\n${number}`);
}

function serve(socket) {
  let request = "";
  socket.on("data", (data) => {
    request += data;
    if (!request.includes("\r\n\r\n")) return;
    const path = request.split(" ")[1];
    if (path === "/wait") {
      waiters.push(socket);
    } else if (path === "/notify") {
      const all = waiters;
      waiters = [];
      for (const waiter of all) answer(waiter, all.length);
      answer(socket, all.length);
    } else {
      answer(socket, waiters.length);
    }
  });
}

async function connect(port) {
  const socket = net.connect(port, "127.0.0.1");
  await once(socket, "connect");
  return socket;
}

async function ask(socket, path) {
  socket.write(`GET ${path} HTTP/1.0\r\n\r\n`);
  let response = "";
  socket.on("data", (data) => { response += data; });
  await once(socket, "end");
  socket.destroy();
  const [head, body] = response.split("\r\n\r\n");
  if (!head.startsWith("HTTP/1.0 200 ")) throw new Error(response);
  return Number(body);
}

async function waitingClient(socket) {
  const told = await ask(socket, "/wait");
  if (told !== n) throw new Error(`a client was told ${told}`);
}

async function main() {
  const server = net.createServer(serve);
  server.listen(0, "127.0.0.1", 4096);
  await once(server, "listening");
  const { port } = server.address();

  const clients = [];
  for (let i = 0; i < n; i++) clients.push(waitingClient(await connect(port)));
  while (await ask(await connect(port), "/") !== n) continue;
  const told = await ask(await connect(port), "/notify");
  if (told !== n) throw new Error(`/notify told ${told}`);
  await Promise.all(clients);
  while (await ask(await connect(port), "/") !== 0) continue;
  console.log(`done ${n}`);
  server.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
