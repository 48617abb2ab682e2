/* The Node handler of the chaos test; handler.c says what it does. Usage: node handler.mjs ADDRESS RECORDS */
import { openSync, writeSync } from "node:fs";
import { Handler } from "../../node/wsbus.js";

const [address, records] = process.argv.slice(2);
const out = openSync(records, "a", 0o600);
const bus = new Handler({ bus: address, routes: ["chaos"], name: "chaos-js" });

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => bus.bye().then(() => process.exit(0)));

for await (const event of bus) {
  if (event.type !== "data") continue;
  const [client, number] = event.payload.toString("latin1", 0, 60).split(" ", 2).map(Number);
  const record = Buffer.alloc(32);
  record.writeBigUInt64LE(BigInt(event.conn), 0);
  record.writeBigUInt64LE(process.hrtime.bigint(), 8);
  record.writeUInt32LE(client, 16);
  record.writeUInt32LE(number, 20);
  record.writeUInt32LE(event.redelivered ? 1 : 0, 24);
  writeSync(out, record);
  bus.send(event.conn, event.payload, event.opcode);
}
process.exit(0);
