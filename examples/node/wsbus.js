/*
 * The bus of wsbus for Node programs: envelopes to and from bytes, and a Handler that registers, answers pings, batches
 * both ways, and says HELLO again when the gate has been restarted. The protocol is docs/protocol.md.
 */
import { accessSync, constants, lstatSync } from "node:fs";
import { Dealer } from "zeromq";

export const VERSION = 1;
export const HEADER_SIZE = 32;
const PREFIX_SIZE = 8;
export const TEXT = 1;
export const BINARY = 2;
export const FLAG = { META: 1, MORE: 2, REDELIVERED: 4, WANT_OUTCOME: 8, PENDING: 16 };
export const EVENT = {
  1: "welcome", 2: "open", 3: "data", 4: "closed", 5: "pong", 6: "request", 7: "body", 8: "aborted", 9: "outcome",
  10: "writable", 11: "revoked", 12: "ping", 13: "level", 14: "drain", 15: "error",
};
export const COMMAND = {
  hello: 64, credit: 65, ack: 66, accept: 67, reject: 68, send: 69, close: 70, join: 71, leave: 72, publish: 73,
  tag: 74, respond: 75, body: 76, ping: 77, pong: 78, log: 79, bye: 80,
};
const BATCH = 127;
const NOTHING = Buffer.alloc(0);
const WAITING_BYTES_MAX = 64 << 20;

/* A header's fields; throws on bytes that are not one. Connection ids, seq and time are BigInt: they have 64 bits. */
export function parseHeader(bytes) {
  if (bytes.length !== HEADER_SIZE) throw new RangeError(`a header has ${HEADER_SIZE} bytes, not ${bytes.length}`);
  if (bytes[0] !== VERSION) throw new RangeError(`version ${bytes[0]}`);
  return {
    type: bytes[1], code: bytes[2], flags: bytes[3], size: bytes.readUInt32LE(4),
    conn: bytes.readBigUInt64LE(8), seq: bytes.readBigUInt64LE(16), time: bytes.readBigUInt64LE(24),
  };
}

export function makeHeader({ type, code = 0, flags = 0, size = 0, conn = 0n, seq = 0n, time = 0n }) {
  const bytes = Buffer.alloc(HEADER_SIZE);
  bytes[0] = VERSION;
  bytes[1] = type;
  bytes[2] = code;
  bytes[3] = flags;
  bytes.writeUInt32LE(size, 4);
  bytes.writeBigUInt64LE(conn, 8);
  bytes.writeBigUInt64LE(seq, 16);
  bytes.writeBigUInt64LE(time, 24);
  return bytes;
}

/* One message from its parts: {header, payload, meta (text)}. */
export function parseParts(parts) {
  if (parts.length !== 2 && parts.length !== 3) throw new RangeError(`${parts.length} parts`);
  const header = parseHeader(parts[0]);
  const hasMeta = parts.length === 3;
  if (header.size !== parts[1].length || Boolean(header.flags & FLAG.META) !== hasMeta) {
    throw new RangeError("lengths or flags that are not true");
  }
  if (hasMeta && parts[2].length === 0) throw new RangeError("empty metadata");
  return { header, payload: parts[1], meta: hasMeta ? parts[2].toString() : "" };
}

export function* parseBatch(bytes) {
  for (let at = 0; at < bytes.length;) {
    if (bytes.length - at < PREFIX_SIZE + HEADER_SIZE) throw new RangeError("a record is cut short");
    const size = bytes.readUInt32LE(at);
    const metaSize = bytes.readUInt32LE(at + 4);
    const end = at + size;
    const next = at + Math.ceil(size / 8) * 8;
    if (size < PREFIX_SIZE + HEADER_SIZE + metaSize || next > bytes.length) throw new RangeError("a record's lengths are not true");
    const header = parseHeader(bytes.subarray(at + PREFIX_SIZE, at + PREFIX_SIZE + HEADER_SIZE));
    const start = at + PREFIX_SIZE + HEADER_SIZE;
    const hasMeta = Boolean(header.flags & FLAG.META);
    if (header.type === BATCH || header.size !== size - (start - at) - metaSize || hasMeta !== metaSize > 0) {
      throw new RangeError("a record's header is not true");
    }
    if (bytes.subarray(end, next).some((byte) => byte !== 0)) throw new RangeError("padding that is not zero");
    yield {
      header,
      payload: bytes.subarray(start, start + header.size),
      meta: bytes.subarray(start + header.size, end).toString(),
    };
    at = next;
  }
}

export function makeRecord(header, payload = NOTHING, meta = NOTHING) {
  const size = PREFIX_SIZE + HEADER_SIZE + payload.length + meta.length;
  const prefix = Buffer.alloc(PREFIX_SIZE);
  prefix.writeUInt32LE(size, 0);
  prefix.writeUInt32LE(meta.length, 4);
  return Buffer.concat([prefix, header, payload, meta, Buffer.alloc((8 - (size % 8)) % 8)]);
}

export const connHex = (conn) => conn.toString(16).padStart(16, "0");

function isThere(check) {
  try {
    return check();
  } catch {
    return false;
  }
}

/* Where the gate's endpoints are: docs/protocol.md §1. */
export function runtimeDir(wanted) {
  const { WSBUS_DIR, XDG_RUNTIME_DIR } = process.env;
  if (wanted || WSBUS_DIR) return wanted || WSBUS_DIR;
  if (isThere(() => accessSync("/run/wsbus", constants.X_OK) ?? true)) return "/run/wsbus";
  if (XDG_RUNTIME_DIR) return `${XDG_RUNTIME_DIR}/wsbus`;
  const last = `/tmp/wsbus-${process.getuid()}`;
  const found = isThere(() => lstatSync(last));
  if (found && !(found.isDirectory() && found.uid === process.getuid())) {
    throw new Error(`${last} is not a directory of our own`); /* everybody can make one: this could be a trap */
  }
  return last;
}

export class Handler {
  /* immediate: nothing waits for a gate that is not there, its ids would be stale */
  #socket = new Dealer({ linger: 1000, immediate: true });
  #options;
  #out = []; /* [header, payload, meta] of this turn's commands */
  #sending = Promise.resolve();
  #waiting = 0; /* bytes of batches that ZeroMQ has not taken yet */
  #seq = 0n;
  #open = true;
  #welcome = ""; /* the last one */
  lost = 0; /* commands that could not leave */

  /* bus: the gate's runtime directory, or undefined for the usual one; routes: what to serve. */
  constructor({ bus, routes, name = "node", silenceMs = 3000 }) {
    this.#options = { routes, name, silenceMs };
    this.#socket.sendTimeout = silenceMs;
    this.#socket.receiveTimeout = silenceMs; /* the gate pings every second: silence means that it has been restarted */
    this.#socket.connect(`ipc://${runtimeDir(bus)}/handlers`);
    this.#hello();
  }

  async *[Symbol.asyncIterator]() {
    while (this.#open) {
      let parts;
      try {
        parts = await this.#socket.receive();
      } catch (error) {
        if (!this.#open) return;
        if (error.code !== "EAGAIN") throw error;
        this.#hello();
        continue;
      }
      for (const event of this.#decode(parts)) yield event;
    }
  }

  send(conn, payload, opcode = typeof payload === "string" ? TEXT : BINARY) {
    this.#put("send", { conn, payload: Buffer.from(payload), code: opcode });
  }

  publish(payload, { group, route, except = [] }, opcode = typeof payload === "string" ? TEXT : BINARY) {
    this.#put("publish", { payload: Buffer.from(payload), code: opcode, meta: { group, route, except: except.map(connHex) } });
  }

  close(conn, code = 1000, reason = "") {
    this.#put("close", { conn, meta: { code, reason } });
  }

  join(conn, ...groups) {
    this.#put("join", { conn, meta: { groups } });
  }

  respond(conn, body, { status = 200, headers = {} } = {}) {
    this.#put("respond", { conn, payload: Buffer.from(body), meta: { status, headers } });
  }

  async bye() {
    this.#open = false;
    this.#put("bye", {});
    this.#flush();
    await this.#sending;
    this.#socket.close();
  }

  #hello() {
    const { routes, name } = this.#options;
    this.#put("hello", { meta: { routes, name, batch: true, pid: process.pid, language: "node" } });
  }

  /* A gate that is asked twice says its welcome twice: then no id is gone. */
  #isNews({ meta }) {
    const known = this.#welcome;
    this.#welcome = `${meta.epoch} ${meta.id}`;
    return this.#welcome !== known;
  }

  /* Commands of one turn of the event loop leave together. */
  #put(type, { conn = 0n, payload = NOTHING, code = 0, meta }) {
    const text = meta ? Buffer.from(JSON.stringify(meta)) : NOTHING;
    this.#seq += 1n;
    const header = makeHeader({
      type: COMMAND[type], code, flags: text.length ? FLAG.META : 0, size: payload.length, conn, seq: this.#seq,
    });
    if (this.#out.push([header, payload, text]) === 1) setImmediate(() => this.#flush());
  }

  #flush() {
    const out = this.#out;
    if (out.length === 0) return;
    this.#out = [];
    const records = Buffer.concat(out.map((parts) => makeRecord(...parts)));
    const message = [makeHeader({ type: BATCH, size: records.length }), records];
    if (this.#waiting + records.length > WAITING_BYTES_MAX) {
      this.lost += out.length; /* the gate does not read: what cannot wait is lost, and counted */
      return;
    }
    this.#waiting += records.length;
    this.#sending = this.#sending.then(() => this.#socket.send(message)).catch((error) => {
      if (this.#open && error.code !== "EAGAIN") throw error;
      this.lost += out.length; /* there is no gate, or it has not read for long */
    }).finally(() => {
      this.#waiting -= records.length;
    });
  }

  *#decode(parts) {
    try {
      const message = parseParts(parts);
      const messages = message.header.type === BATCH ? parseBatch(message.payload) : [message];
      for (const { header, payload, meta } of messages) {
        const event = {
          type: EVENT[header.type] ?? String(header.type), code: header.code, opcode: header.code, flags: header.flags,
          conn: header.conn, seq: header.seq, time: header.time, payload, meta: meta ? JSON.parse(meta) : {},
        };
        if (event.type === "ping") this.#put("pong", { payload });
        else if (event.type === "error" && event.code === 5) this.#hello();
        else if (event.type !== "welcome" || this.#isNews(event)) yield event;
      }
    } catch (error) {
      if (!(error instanceof RangeError || error instanceof SyntaxError)) throw error;
      console.error(`wsbus: malformed message: ${error.message}`);
    }
  }
}
