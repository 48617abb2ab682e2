/* Runs the shared envelope vectors through the Node module. Prints how many; fails on the first that differs. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { makeHeader, makePairs, parseAlone, parseBatch, parseHeader, parseParts } from "../../node/wsbus.js";

const vectors = JSON.parse(readFileSync(new URL("envelope.json", import.meta.url)));
const bytes = (hex) => Buffer.from(hex, "hex");
const wide = (hex) => BigInt(`0x${hex}`);
let count = 0;

function verdict(parse) {
  try {
    return { valid: true, value: parse() };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { valid: false };
  }
}

for (const vector of vectors.headers) {
  const { valid, value } = verdict(() => parseHeader(bytes(vector.hex)));
  assert.equal(valid, vector.valid, vector.name);
  if (valid) {
    const { type, code, flags, payload_len: size, conn, seq, time_ns: time } = vector;
    const fields = { type, code, flags, size, conn: wide(conn), seq: wide(seq), time: wide(time) };
    assert.deepEqual(value, fields, vector.name);
    assert.equal(makeHeader(fields).toString("hex"), vector.hex, vector.name);
  }
  count += 1;
}

for (const vector of vectors.messages) {
  const parts = [bytes(vector.header), bytes(vector.payload)];
  if (vector.meta !== null) parts.push(Buffer.from(vector.meta));
  assert.equal(verdict(() => parseParts(parts)).valid, vector.valid, vector.name);
  count += 1;
}

for (const vector of vectors.batches) {
  const records = [];
  const { valid } = verdict(() => {
    for (const record of parseBatch(bytes(vector.hex))) records.push(record);
  });
  assert.equal(valid, vector.valid, vector.name);
  assert.deepEqual(
    records.map(({ payload, meta }) => [payload.toString("hex"), meta]),
    vector.records.map(({ payload, meta }) => [payload, meta ?? ""]), vector.name);
  count += 1;
}

for (const vector of vectors.alone) {
  const { valid, value } = verdict(() => parseAlone(bytes(vector.hex)));
  assert.equal(valid, vector.valid, vector.name);
  if (valid) {
    const { type, payload, meta } = vector.record;
    assert.deepEqual([value.header.type, value.payload.toString("hex"), value.meta], [type, payload, meta ?? ""], vector.name);
  }
  count += 1;
}

for (const vector of vectors.pairs) {
  const pairs = vector.pairs.map((pair) => pair.map(wide));
  assert.equal(makePairs(pairs).toString("hex"), vector.hex, vector.name);
  count += 1;
}

console.log(`${count} vectors`);
