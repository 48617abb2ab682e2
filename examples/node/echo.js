/* Echo: what comes in goes back. Usage: node echo.js [--bus DIRECTORY or tcp://HOST:PORT] [--route NAME]… */
import { parseArgs } from "node:util";
import { Handler } from "wsbus";

const { values } = parseArgs({ options: { bus: { type: "string" }, route: { type: "string", multiple: true } } });
const bus = new Handler({
  bus: values.bus,
  routes: values.route ?? ["echo"],
  name: "echo.js",
});

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => bus.bye().then(() => process.exit(0)));

for await (const event of bus) {
  if (event.type === "data") bus.send(event.conn, event.payload, event.opcode);
  else if (event.type === "request") bus.respond(event.conn, `hello from Node: ${event.meta.method} ${event.meta.target}\n`);
}
await bus.bye(); /* drained: nothing is left to do */
