/* Echo: what comes in goes back. Usage: node echo.js [--runtime-dir DIR or tcp://HOST:PORT] [--route NAME]… */
import { parseArgs } from "node:util";
import { Handler } from "wsbus";

const text = { type: "string" };
const { values } = parseArgs({ options: { "runtime-dir": text, dir: text, bus: text, route: { type: "string", multiple: true } } });
const bus = new Handler({
  bus: values["runtime-dir"] ?? values.dir ?? values.bus, /* three names of one option */
  routes: values.route ?? ["echo"],
  name: "echo.js",
});

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => bus.bye().then(() => process.exit(0)));

for await (const event of bus) {
  if (event.type === "data") bus.send(event.conn, event.payload, event.opcode);
  else if (event.type === "request") bus.respond(event.conn, `hello from Node: ${event.meta.method} ${event.meta.target}\n`);
}
await bus.bye(); /* drained: nothing is left to do */
