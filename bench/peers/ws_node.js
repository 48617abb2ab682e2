/* A peer of the bench: echo and fan-out with the module ws. usage: NODE_PATH=FOLDER node ws_node.js PORT */
const { WebSocketServer } = require("ws");

const subscribers = new Set();
const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]), perMessageDeflate: false, backlog: 4096 });

server.on("connection", (client, request) => {
  client.on("error", () => {});
  if (request.url === "/sub") {
    subscribers.add(client);
    client.on("close", () => subscribers.delete(client));
  }
  client.on("message", (data, binary) => {
    for (const to of request.url === "/pub" ? subscribers : [client]) to.send(data, { binary });
  });
});
