/* The lines about handlers that are not registered, and their times, as the Node module has them. */
import { readFileSync } from "node:fs";
import assert from "node:assert/strict";
import { Trouble } from "../../node/wsbus.js";

const { lines, times, registered } = JSON.parse(readFileSync(new URL("trouble.json", import.meta.url)));
const of = ({ name, routes, endpoint, public_key: publicKey }) => new Trouble({ name, routes, endpoint, publicKey });
const mine = lines.filter(({ only }) => only !== "c");
for (const vector of mine) assert.equal(of(vector).note(vector.kind, vector.why ?? "", 0), vector.line);
for (const { what, notes } of times) {
  const trouble = of(lines[0]);
  for (const [nowMs, kind, why, isDue] of notes) {
    const line = trouble.note(kind, why, nowMs);
    assert.equal(line !== null, isDue, `${what}: ${nowMs} ${kind}`);
    if (isDue && kind === "none") assert.equal(line, registered);
  }
}
console.log(`${mine.length} lines, ${times.length} times`);
