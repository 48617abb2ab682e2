/*
 * The bus of wsbus for Node programs: envelopes to and from bytes, and a Handler that registers, answers pings, batches
 * both ways, and says HELLO again when the gate has been restarted. The protocol is docs/protocol.md.
 *
 * By asking for the next event the program says that it is done with the one before: what it was not done with when it dies
 * goes to another handler, with event.redelivered. The gate is told so behind the answers, and sends no more than `credit`
 * ahead. A connection that moved to another handler is not written to any more as soon as the bus has said so, and what it still
 * had to say is not told either. When the gate drains the handler, the iteration ends. Who leaves the loop otherwise is not done
 * with the event in hand; a later loop goes on behind it, and is.
 *
 * A gate on another machine is "tcp://HOST:PORT". Then serverKey is its public key, and keyFile the file with our secret key,
 * which `wsgate --make-key` makes; without them WSBUS_SERVER_KEY and WSBUS_KEY_FILE of the environment are taken. With neither,
 * nothing is encrypted. docs/remote-handlers.md has more.
 *
 * A Handler that finds no gate, may not enter, or names a route that the gate does not give it, says so on stderr: at once, after
 * 10 s, 20 s, 40 s, and so on up to 5 minutes, and at once when the trouble becomes another one. onTrouble gets these lines instead.
 */
import { createPrivateKey, createPublicKey } from "node:crypto";
import { accessSync, closeSync, constants, fstatSync, lstatSync, mkdirSync, openSync, readFileSync, statSync } from "node:fs";
import { basename } from "node:path";
import { capability, Dealer } from "zeromq";

export const VERSION = 1;
export const HEADER_SIZE = 32;
const PREFIX_SIZE = 8;
export const TEXT = 1;
export const BINARY = 2;
export const FLAG = { META: 1, MORE: 2, REDELIVERED: 4, WANT_OUTCOME: 8, PENDING: 16, PLAIN: 32 };
export const EVENT = {
  1: "welcome", 2: "open", 3: "data", 4: "closed", 5: "pong", 6: "request", 7: "body", 8: "aborted", 9: "outcome",
  10: "writable", 11: "revoked", 12: "ping", 13: "level", 14: "drain", 15: "error", 16: "members", 17: "joined",
  18: "left", 19: "dead-letter",
};
export const COMMAND = {
  hello: 64, credit: 65, ack: 66, accept: 67, reject: 68, send: 69, close: 70, join: 71, leave: 72, publish: 73,
  tag: 74, respond: 75, body: 76, ping: 77, pong: 78, log: 79, bye: 80, list: 81,
  working: 82,
};
const BATCH = 127;
const NOTHING = Buffer.alloc(0);
const BATCH_BYTES = 256 << 10;
const META_MAX = 4 << 20;
const TARGETS_A_COMMAND = 65536; /* ids in a list */
const RETRY_MS = 100; /* after the gate has not taken something */
const WAITING_BYTES_MAX = 64 << 20; /* of commands that the gate does not take, or that wait for its welcome */
const PONGS_MAX = 16; /* waiting for a gate that does not read */
const TURN_MS = 100; /* a program that does not wait lets go and listens so often */
const PAIR_SIZE = 16;
const PAST_CONNS_MAX = 65536; /* remembered of those that are others' now */
const COUNTED = new Set(["open", "data", "request", "body", "aborted", "closed"]); /* they have a seq of their connection */
const HEARTBEAT_MS = 1000; /* of ZeroMQ; over TCP the gate takes silence for death */
const REFUSED_MS = 5000; /* until HELLO is said again to a gate that has refused it */
const HELLOS_MAX = 3; /* without an answer: then it is told */
const LOCAL_RETRY_MS = 250; /* at most between two looks for a gate on this host; each costs one connect() */
const TROUBLE_WHY = 159; /* bytes of the gate's words in a line about trouble */
const TROUBLE_ROUTES = 8; /* routes that it names */
const TROUBLE_NAME = 64; /* bytes of a name in it */
const TROUBLE_FIRST_MS = 10000;
const TROUBLE_LAST_MS = 300000;
const TROUBLE_LEAST_MS = 1000;
const PAID = new Set(["data", "request", "body"]); /* they cost credit */

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

/* A message that came as one part; it may be a BATCH. */
export function parseAlone(bytes) {
  const records = [...parseRecords(bytes, true)];
  if (records.length !== 1) throw new RangeError(`${records.length} records in one part`);
  return records[0];
}

export const parseBatch = (bytes) => parseRecords(bytes, false);

function* parseRecords(bytes, mayBeBatch) {
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
    if ((header.type === BATCH && !mayBeBatch) || header.size !== size - (start - at) - metaSize || hasMeta !== metaSize > 0) {
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

/* The payload of ACK, and what comes out of it: pairs of connection and seq. */
export function makePairs(pairs) {
  const bytes = Buffer.alloc(pairs.length * PAIR_SIZE);
  pairs.forEach(([conn, seq], at) => {
    bytes.writeBigUInt64LE(conn, at * PAIR_SIZE);
    bytes.writeBigUInt64LE(seq, at * PAIR_SIZE + 8);
  });
  return bytes;
}

export const connHex = (conn) => conn.toString(16).padStart(16, "0");

/* What may not leave to a terminal or a log: it moves the cursor, turns the text, or cannot be seen. The same list as the gate's. */
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e0fff}]/gu;

/* A line to stderr, one whatever is in it; the journal of systemd hears how grave it is: sd-daemon(3). */
const PRIORITY = { info: "<6>", warn: "<4>", error: "<3>" };

function say(level, text) {
  const { dev, ino } = fstatSync(2);
  const plain = text.replace(UNPRINTABLE, " ");
  console.error(process.env.JOURNAL_STREAM === `${dev}:${ino}` ? PRIORITY[level] + plain : plain);
}

/* What may stand on a terminal and in a log of lines, of what others have chosen. */
function printable(text, size) {
  const byte = (code) => (code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : "?");
  return Array.from(Buffer.from(text).subarray(0, size), byte).join("");
}

const START_THERE = "start wsgate there, or name its runtime directory with WSBUS_DIR";
/* The words of libwsbus: tests/vectors/trouble.json. */
const TROUBLES = {
  none: ({ where }) => `registered with the gate at ${where}`,
  absent: ({ where }) => `no gate at ${where}: no socket is there; ${START_THERE}`,
  denied: ({ where }) =>
    `no permission for the gate at ${where}; run the handler as the gate's user or in its group, and see bus_mode of wsgate.conf`,
  deaf: ({ where, isLocal }) =>
    `no gate at ${where}: nobody listens there; ${isLocal ? START_THERE : "start wsgate there, or correct the address"}`,
  handshake: ({ where, key }) => `the gate at ${where} refuses the connection; ${key
    ? `put our public key ${key} on its list of keys, and compare server_key with the gate's`
    : "look at its log, and set server_key and key_file if it wants keys"}`,
  refused: ({ where }, why) =>
    `the gate at ${where} refuses the registration: ${why}; correct the handler, or the gate's configuration`,
  mute: ({ where }) => `the gate at ${where} does not answer; look at its log`,
};

/* What keeps a handler from being registered, in one line, and when that line is due. It has no clock of its own. */
export class Trouble {
  #who;
  #gate;
  #now = "none"; /* the trouble and the words about it */
  #isTold = false; /* a line was due since the last registration */
  #told = -Infinity;
  #again = 0;
  #interval = 0;

  constructor({ name, routes, endpoint, publicKey }) {
    const names = routes.slice(0, TROUBLE_ROUTES).map((route) => `'${printable(route, TROUBLE_NAME)}'`).join(", ");
    const what = routes.length === 0 ? "no route" : `route${routes.length > 1 ? "s" : ""} ${names}`;
    this.#who = `handler '${printable(name, TROUBLE_NAME)}' (${what}${routes.length > TROUBLE_ROUTES ? ", ..." : ""})`;
    const isLocal = endpoint.startsWith("ipc://");
    this.#gate = { where: isLocal ? endpoint.slice("ipc://".length, endpoint.lastIndexOf("/")) : endpoint, isLocal, key: publicKey };
  }

  #line(kind, why = "") {
    return `wsbus: ${this.#who}: ${TROUBLES[kind](this.#gate, why)}`;
  }

  /* What is wrong now; the line when it is due, otherwise null. */
  note(kind, words, nowMs) {
    if (kind === "none") return this.#end(nowMs);
    const why = printable(words, TROUBLE_WHY);
    if (`${kind} ${why}` !== this.#now) {
      this.#now = `${kind} ${why}`;
      this.#interval = 0;
    }
    if (nowMs - this.#told < TROUBLE_LEAST_MS || (this.#interval && nowMs < this.#again)) return null;
    this.#interval = Math.min(this.#interval * 2 || TROUBLE_FIRST_MS, TROUBLE_LAST_MS);
    this.#told = nowMs;
    this.#again = nowMs + this.#interval;
    this.#isTold = true;
    return this.#line(kind, why);
  }

  #end(nowMs) {
    const wasTold = this.#isTold;
    this.#isTold = false;
    this.#now = "none";
    this.#interval = 0;
    if (!wasTold) return null;
    this.#told = nowMs;
    return this.#line("none");
  }
}

/* ZeroMQ does not say why it cannot connect; a look at the socket does. */
function lookAt(endpoint) {
  if (!endpoint.startsWith("ipc://")) return "deaf";
  try {
    accessSync(endpoint.slice("ipc://".length), constants.W_OK);
    return "deaf";
  } catch ({ code }) {
    return code === "ENOENT" || code === "ENOTDIR" ? "absent" : "denied";
  }
}

function isThere(check) {
  try {
    return check();
  } catch {
    return false;
  }
}

/* Where the gate's endpoints are: docs/protocol.md §1. */
export function runtimeDir(wanted) {
  const { WSBUS_DIR, WSBUS_RUNTIME_DIR, XDG_RUNTIME_DIR } = process.env;
  const named = wanted || WSBUS_DIR || WSBUS_RUNTIME_DIR; /* the last is a synonym */
  if (named) return named;
  if (isThere(() => accessSync("/run/wsbus", constants.X_OK) ?? true)) return "/run/wsbus";
  if (XDG_RUNTIME_DIR) return `${XDG_RUNTIME_DIR}/wsbus`;
  return `/tmp/wsbus-${process.getuid()}`;
}

/* Complain about a runtime directory that somebody else can have put there. One that is not there yet is made where everybody could. */
function trustDir(directory) {
  const root = directory.startsWith("/") ? "/" : "";
  let parent = root || ".";
  let path = "";
  for (const name of directory.split("/").filter(Boolean)) {
    path = path ? `${path}/${name}` : root + name;
    const above = isThere(() => statSync(parent));
    if (!above) return;
    if (above.mode & 0o002) {
      isThere(() => mkdirSync(path, 0o700));
      const found = isThere(() => lstatSync(path));
      if (!found) return;
      if (found.uid !== 0 && found.uid !== process.geteuid()) {
        throw new Error(`${path} belongs to user ${found.uid}, and everybody can make one in ${parent}: name a directory that only root, or this user, can have made`);
      }
    }
    parent = path;
  }
  const found = isThere(() => statSync(parent));
  if (found && found.mode & 0o022) {
    throw new Error(`runtime directory ${directory} can be written by others than its owner (mode ${(found.mode & 0o7777).toString(8).padStart(4, "0")})`);
  }
}

/* --- keys */

const Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
const KEY_BYTES = 32;
const KEY_FILE_BYTES_MAX = 1 << 20;
/* What stands in front of the 32 bytes of an X25519 key: RFC 8410. */
const PRIVATE_KEY_HEAD = Buffer.from("302e020100300506032b656e04220420", "hex");

/* The 32 bytes that 40 characters of Z85 stand for; null when they do not. */
function keyBytes(text) {
  if (text.length !== KEY_BYTES / 4 * 5 || [...text].some((char) => !Z85.includes(char))) return null;
  const words = text.match(/.{5}/g).map((five) => [...five].reduce((value, char) => value * 85 + Z85.indexOf(char), 0));
  if (words.some((word) => word > 0xffffffff)) return null;
  const bytes = Buffer.alloc(KEY_BYTES);
  words.forEach((word, at) => bytes.writeUInt32BE(word, at * 4));
  return bytes;
}

function keyText(bytes) {
  const digits = (word) => [4, 3, 2, 1, 0].map((power) => Z85[Math.floor(word / 85 ** power) % 85]).join("");
  return Array.from({ length: bytes.length / 4 }, (_, at) => digits(bytes.readUInt32BE(at * 4))).join("");
}

/* The public key that belongs to a secret one. */
function publicKeyOf(secretKey) {
  const key = createPrivateKey({ key: Buffer.concat([PRIVATE_KEY_HEAD, keyBytes(secretKey)]), format: "der", type: "pkcs8" });
  return keyText(createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-KEY_BYTES));
}

/* The one key of a key file; blank lines, and what follows a # in front of or behind the key, are not looked at. */
export function parseKey(text) {
  let key = null;
  text.split("\n").forEach((line, at) => {
    const [word, after] = line.split(/[ \t\r]+/).filter(Boolean);
    if (word === undefined || word.startsWith("#")) return;
    if (!keyBytes(word) || (after !== undefined && !after.startsWith("#"))) {
      throw new Error(`line ${at + 1}: it does not begin with a key, 40 characters of Z85`);
    }
    if (key) throw new Error(`line ${at + 1}: a second key; there can be one only`);
    key = word;
  });
  if (!key) throw new Error("there is no key in it");
  return key;
}

/* The secret key of a file, which nobody else may be able to read. */
function readKey(path) {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK); /* a pipe would make us wait */
  try {
    const found = fstatSync(fd);
    const mode = (found.mode & 0o7777).toString(8).padStart(4, "0");
    if (!found.isFile()) throw new Error("not a file");
    if (found.uid !== process.geteuid() && found.uid !== 0) throw new Error(`it belongs to somebody else (uid ${found.uid})`);
    const ours = found.uid === process.geteuid(); /* one of root's may be its group's to read */
    if (found.mode & (ours ? 0o077 : 0o037))
      throw new Error(`others than its owner can ${found.mode & 0o044 ? "read" : "open"} it (mode ${mode}): chmod ${ours ? "0600" : "0640"} it`);
    if (found.size > KEY_FILE_BYTES_MAX) throw new Error("larger than 1 MiB");
    return parseKey(readFileSync(fd, "latin1"));
  } catch (error) {
    throw new Error(`${path}: ${error.message}`);
  } finally {
    closeSync(fd);
  }
}

/* The socket's options for keys; none when there are to be none. */
function curveOptions(endpoint, { serverKey, keyFile }) {
  if (!endpoint.startsWith("tcp://")) {
    if (serverKey !== undefined || keyFile !== undefined) throw new TypeError("serverKey and keyFile are for addresses with tcp://");
    return {};
  }
  const server = serverKey ?? (process.env.WSBUS_SERVER_KEY || undefined);
  const file = keyFile ?? (process.env.WSBUS_KEY_FILE || undefined);
  if (server === undefined && file === undefined) return {};
  if (server === undefined) throw new TypeError("there is a keyFile, but not the gate's public key: serverKey or WSBUS_SERVER_KEY");
  if (file === undefined) throw new TypeError("there is the gate's serverKey, but no key of our own: keyFile or WSBUS_KEY_FILE");
  if (!capability.curve) throw new Error("this build of libzmq cannot do CURVE");
  if (!keyBytes(server)) throw new TypeError("the gate's public key is not 40 characters of Z85");
  const secretKey = readKey(file);
  return { curveServerKey: server, curvePublicKey: publicKeyOf(secretKey), curveSecretKey: secretKey };
}

/* bus: a directory, ipc:///directory, a whole tcp:// endpoint, or undefined for the default directory. */
function endpointOf(bus, name) {
  if (bus?.startsWith("tcp://")) return bus;
  const directory = runtimeDir(bus?.replace(/^ipc:\/\//, ""));
  trustDir(directory);
  return `ipc://${directory}/${name}`;
}

function audience(fields) {
  const there = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== false));
  if (Object.keys(there).length !== 1) throw new TypeError(`one of ${Object.keys(fields).join(", ")}, please`);
  return there;
}

/* One entry for each name, whatever its case, as it was written first. */
function fieldsOf(headers) {
  const names = new Map();
  for (const [name, given] of Symbol.iterator in headers ? headers : Object.entries(headers)) {
    const field = names.get(name.toLowerCase()) ?? { name, values: [] };
    field.values.push(...[given].flat());
    names.set(name.toLowerCase(), field);
  }
  return Object.fromEntries([...names.values()].map(({ name, values }) => [name, values.length === 1 ? values[0] : values]));
}

/* The object; an empty one of what cannot be read: no message may end the program, or take others of its batch with it. */
function metadataOf(bytes) {
  if (!bytes) return {};
  try {
    const meta = JSON.parse(bytes);
    return meta !== null && typeof meta === "object" && !Array.isArray(meta) ? meta : {};
  } catch (error) {
    console.error(`wsbus: metadata that cannot be read: ${error.message}`);
    return {};
  }
}

/* About what a command takes in a batch. */
const sizeOf = ([, payload, meta]) => payload.length + meta.length + 48;
const bytesOf = (commands) => commands.reduce((sum, { record }) => sum + sizeOf(record), 0);

const opcodeOf = (payload) => (typeof payload === "string" ? TEXT : BINARY);
const registrationOf = ({ meta }) => `${meta.epoch} ${meta.id}`;

export class Handler {
  #socket;
  #options;
  #out = []; /* {record: [header, payload, meta], conn, named: it names connections}: commanded, and not under way */
  #outBytes = 0; /* of #out, and of what is under way */
  maxMessage = Infinity; /* bytes that the gate takes in one message or response */
  #own = []; /* records of the link and not of the program: they wait for no welcome */
  #leaving = null; /* fulfilled when what leaves now has left */
  #isLeaving = false;
  #failure = null; /* of the socket, for whoever reads */
  #seq = 0n;
  #open = true;

  #read = null; /* the registration (epoch and id) of the welcome that the program has read */
  #given = null; /* and of the one that came last */
  #endpoint;
  #isUp = false; /* as ZeroMQ has told */
  #wrong = null; /* with the connection; "deaf" or "handshake" */
  #isRetryLate = false; /* the next retry that is told of is only the pause before it */
  #trouble;
  #onTrouble;
  #helloSeq = null; /* of the last one */
  #hellos = 0; /* without an answer */
  #firstHello = 0n; /* to this connection */
  #refusal = null; /* the gate's words about our HELLO */
  #isWelcome = false; /* it has answered, and the connection is still the same */
  #forgotten = false; /* the gate said that it does not know us */
  #unsure = false; /* nobody knows: what is commanded waits for the welcome */
  #inbox = []; /* events that have come, the next one last */
  #arrived = []; /* and those behind them, the next one first */
  #turned = performance.now(); /* when the event loop had its turn */
  #held = null; /* the event that the program has, if it counts */
  #revoked = new Map(); /* connection -> how many "revoked" the program has not read yet */
  #conns = new Set(); /* the program's */
  #past = new Set(); /* those that were */

  #done = new Map(); /* connection -> {seq} of the last event the program is done with, not told yet */
  #taken = { messages: 0, bytes: 0 }; /* not granted again yet */
  lost = 0; /* commands for which there was no room any more */
  stale = 0; /* commands for connections that are others' now */

  /* bus: the gate's runtime directory, or undefined for the usual one, or tcp://HOST:PORT, with serverKey and keyFile when the gate
   * wants keys; routes: what to serve; credit: messages and bytes that the gate may send ahead; presence: "joined" and "left" events
   * come; weight: how many connections, compared with others; kinds: what the program serves on its routes, of "websocket" and "http",
   * both unless it says so. Clients of the other kind go to other handlers, or are answered 426 or 404 at once where there are none;
   * onTrouble: gets each line about a registration that does not come about, in place of stderr. */
  constructor({
    bus, routes, name = basename(process.argv[1] ?? "node"), silenceMs = 3000, credit = { messages: 16384, bytes: 32 << 20 }, presence = false, weight = 1,
    serverKey, keyFile, kinds, onTrouble = null,
  }) {
    if (!Array.isArray(routes) || routes.length === 0)
      throw new TypeError(`routes: an array of at least one name, not ${JSON.stringify(routes)}`);
    if (kinds && !(kinds.length && kinds.every((kind) => ["websocket", "http"].includes(kind))))
      throw new TypeError(`kinds: an array of "websocket" and "http", not ${kinds}`);
    const endpoint = endpointOf(bus, "handlers");
    this.#options = { routes, name, credit, presence, weight, heartbeat_ms: HEARTBEAT_MS, ...(kinds && { kinds }) };
    const keys = curveOptions(endpoint, { serverKey, keyFile });
    this.#endpoint = endpoint;
    this.#onTrouble = onTrouble;
    this.#trouble = new Trouble({ name, routes, endpoint, publicKey: keys.curvePublicKey });
    this.#socket = new Dealer({
      ...keys,
      linger: 1000,
      immediate: true, /* nothing waits for a gate that is not there, its ids would be stale */
      receiveHighWaterMark: 0, /* credit bounds what may come; a full queue of ZeroMQ's and a heartbeat do not get on */
      heartbeatInterval: HEARTBEAT_MS,
      heartbeatTimeout: 10 * HEARTBEAT_MS,
      ipv6: endpoint.includes("["),
      reconnectMaxInterval: endpoint.startsWith("ipc://") ? LOCAL_RETRY_MS : 1000, /* a gate that is away, or does not want us, is not asked all the time */
      sendTimeout: silenceMs,
      receiveTimeout: silenceMs, /* the gate pings every second: silence means that it has been restarted */
    });
    this.#watch();
    this.#socket.connect(endpoint);
  }

  async *[Symbol.asyncIterator]() {
    while (this.#open) {
      this.#finish();
      if (performance.now() - this.#turned >= TURN_MS) {
        await this.#turn();
        continue;
      }
      if (this.#failure) throw this.#failure;
      const event = this.#next();
      if (event?.type === "drain" && !event.more) return; /* nothing is left to do */
      if (event) yield event;
      else await this.#take();
    }
  }

  /* slow: "close", "drop-new", "drop-old" or "conflate" (of one key), for a client that does not read. */
  /* plain: not compressed, whatever was agreed with the client. */
  send(conn, payload, opcode = opcodeOf(payload), { slow, key, plain } = {}) {
    const meta = slow || key ? { slow, key } : undefined;
    this.#put("send", { conn, payload: Buffer.from(payload), code: opcode, meta, flags: plain ? FLAG.PLAIN : 0 });
  }

  /* To one of group, route, user, tag, all; not to those in `except`, 65,536 at most. */
  publish(payload, { group, route, user, tag, all, except = [], slow, key, plain }, opcode = opcodeOf(payload)) {
    if (except.length > TARGETS_A_COMMAND)
      throw new RangeError(`publish: \`except\` has ${except.length} connections, and may have ${TARGETS_A_COMMAND}`);
    const meta = { ...audience({ group, route, user, tag, all }), except: except.map(connHex), slow, key };
    this.#put("publish", { payload: Buffer.from(payload), code: opcode, meta, flags: plain ? FLAG.PLAIN : 0 });
  }

  close(conn, code = 1000, reason = "") {
    this.#put("close", { conn, meta: { code, reason } });
  }

  /* Let a client in whose "open" event is pending. subprotocol: one of those offered; headers: as in respond(). */
  accept(conn, { subprotocol, headers, groups, user, tags } = {}) {
    this.#put("accept", { conn, meta: { subprotocol, headers: headers && fieldsOf(headers), groups, user, tags } });
  }

  /* Answer it instead. */
  reject(conn, body = "", { status = 403, headers = {} } = {}) {
    this.#put("reject", { conn, payload: Buffer.from(body), meta: { status, headers: fieldsOf(headers) } });
  }

  join(conn, ...groups) {
    this.#put("join", { conn, meta: { groups } });
  }

  leave(conn, ...groups) {
    this.#put("leave", { conn, meta: { groups } });
  }

  /* Mark a connection: tags to set and to take away, and whose it is ("" is nobody's). */
  tag(conn, { set, unset, user }) {
    this.#put("tag", { conn, meta: { set, unset, user } });
  }

  /* Who is in a group, on a route, a user's, or has a tag: "members" events with the seq that is returned. */
  list({ group, route, user, tag, limit = 1000 }) {
    return this.#put("list", { meta: { ...audience({ group, route, user, tag }), limit } });
  }

  /* The program still works on its event: the gate's `ack_timeout` begins anew. Leaves with the next turn of the event loop. */
  working() {
    this.#put("working", {});
  }

  /* more: body() brings the rest. headers: an object, or pairs; an array stands for several fields of one name, and names that differ
   * in case are one name. */
  respond(conn, body, { status = 200, headers = {}, more = false } = {}) {
    this.#put("respond", { conn, payload: Buffer.from(body), meta: { status, headers: fieldsOf(headers) }, flags: more ? FLAG.MORE : 0 });
    if (!more) this.#conns.delete(conn); /* the gate says nothing more about it */
  }

  /* More of a response. at: the byte of the body with which it begins, from the first one of respond() on. Such a part is refused
   * while the client's queue is full, and so is all behind it; then "writable" comes, and meta.at is where to go on. Without it
   * the exchange ends. outcome: an "outcome" event has the seq that is returned. */
  body(conn, data, { more = true, at, outcome = false } = {}) {
    const meta = at === undefined ? undefined : { at };
    const flags = (more ? FLAG.MORE : 0) | (outcome ? FLAG.WANT_OUTCOME : 0);
    const seq = this.#put("body", { conn, payload: Buffer.from(data), meta, flags });
    if (!more) this.#conns.delete(conn);
    return seq;
  }

  /* Ask for the body of a request with meta.expect_continue, of a route with expect = handler: it comes as "body" events. */
  continue(conn) {
    this.#put("respond", { conn, meta: { status: 100 } });
  }

  /* What the program still has is not done with: another handler gets it. */
  async bye() {
    if (!this.#open) return;
    this.#open = false;
    await this.#leaving;
    await this.#flush();
    this.#out = [];
    this.#own = [this.#record("bye", {})];
    await this.#flush();
    this.#socket.close();
  }

  /* --- out */

  /* Commands of one turn of the event loop leave together. */
  #put(type, { conn = 0n, meta, ...rest }) {
    const named = conn !== 0n;
    this.#seq += 1n;
    if (named && this.#isStale(conn)) {
      this.stale += 1;
      return this.#seq;
    }
    const record = this.#record(type, { conn, meta, ...rest });
    if (rest.payload?.length > this.maxMessage) { /* the gate would hang up */
      throw new RangeError(`${type}: ${rest.payload.length} bytes are more than this gate takes in one piece, ${this.maxMessage}`);
    }
    if (this.#out.length && this.#outBytes + sizeOf(record) > WAITING_BYTES_MAX) {
      this.lost += 1; /* we cannot wait here, and nobody takes it */
      return this.#seq;
    }
    this.#outBytes += sizeOf(record);
    if (this.#out.push({ record, conn, named }) === 1) this.#flushSoon();
    return this.#seq;
  }

  #record(type, { conn = 0n, payload = NOTHING, code = 0, seq = this.#seq, flags = 0, meta }) {
    const text = meta ? Buffer.from(JSON.stringify(meta)) : NOTHING;
    if (text.length > META_MAX) /* the gate would drop the whole batch */
      throw new RangeError(`${text.length} bytes of metadata are more than a command has, ${META_MAX}`);
    const header = makeHeader({ type: COMMAND[type], code, flags: flags | (text.length ? FLAG.META : 0), size: payload.length, conn, seq });
    return [header, payload, text];
  }

  /* Is it about a connection that belongs to another, as far as the bus has told us? */
  #isStale(conn) {
    return this.#forgotten || (this.#read !== null && this.#read !== this.#given) || this.#revoked.has(conn) || this.#past.has(conn);
  }

  #flushSoon() {
    setImmediate(() => this.#open && this.#flush());
  }

  #flush() {
    if (!this.#isLeaving) this.#leaving = this.#leave();
    return this.#leaving;
  }

  /* What there is now, in batches, and behind it what the gate is told about events. What is commanded meanwhile leaves in the next
   * turn. */
  async #leave() {
    if (!this.#isUp) { /* it would go in front of the HELLO to whoever comes */
      this.#tryLater();
      return;
    }
    this.#isLeaving = true;
    let count = this.#out.length;
    let isSent;
    do {
      const commands = this.#unsure ? [] : this.#batchOf(count);
      count -= commands.length;
      const news = this.#unsure || count > 0 ? null : this.#news();
      const records = [...this.#own.splice(0), ...commands.map(({ record }) => record), ...(news?.records ?? [])];
      isSent = records.length === 0 || await this.#send(records);
      if (isSent) {
        this.#haveLeft(commands);
        news?.haveTold();
      }
      count = Math.min(count, this.#out.length); /* something may have become stale meanwhile */
    } while (isSent && count > 0 && !this.#unsure);
    this.#isLeaving = false;
    const isMore = !this.#unsure && (this.#out.length > 0 || this.#done.size > 0);
    if (!isSent) this.#tryLater();
    else if (isMore || this.#own.length) this.#flushSoon();
  }

  /* The next batch, of `count` commands at most. They stay where they are until they have left: an event must not be acknowledged
   * whose answer was thrown away. */
  #batchOf(count) {
    let bytes = 0;
    const end = this.#out.findIndex(({ record }, at) => at === count || (bytes += sizeOf(record)) > BATCH_BYTES);
    return this.#out.slice(0, end < 0 ? count : Math.max(end, Math.min(count, 1)));
  }

  /* Those of them that became stale meanwhile are not there any more. */
  #haveLeft(commands) {
    const left = new Set(commands);
    const end = this.#out.findIndex((command) => !left.has(command));
    const gone = this.#out.splice(0, end < 0 ? this.#out.length : end);
    this.#outBytes -= bytesOf(gone);
  }

  /* There is no gate, or it has not read for long: what it has to hear waits. */
  #tryLater() {
    if (this.#open) setTimeout(() => this.#open && this.#flush(), RETRY_MS).unref();
  }

  async #send(records) {
    const payload = Buffer.concat(records.map((parts) => makeRecord(...parts)));
    try {
      await this.#socket.send([makeHeader({ type: BATCH, size: payload.length }), payload]);
      return true;
    } catch (error) {
      if (this.#open && error.code !== "EAGAIN") this.#failure = error;
      return false;
    }
  }

  /* What belongs to the link and not to the program: it leaves in front. */
  #say(type, fields) {
    this.#own.push(this.#record(type, fields));
    this.#flushSoon();
  }

  #hello() {
    this.#seq += 1n;
    this.#helloSeq = this.#seq;
    this.#hellos += 1;
    this.#refusal = null;
    this.#say("hello", { meta: { ...this.#options, batch: true, records: true, ack: true, pid: process.pid, language: "node" } });
  }

  #askAgain() {
    if (!this.#isUp) return; /* HELLO is said when there is somebody */
    if (this.#given !== null && !this.#forgotten) this.#unsure = true;
    this.#hello();
    this.#noteTrouble();
  }

  /* --- the gate */

  /* ZeroMQ tells of the connection. It also tells of a retry when it begins the pause behind a connection that has ended. */
  #watch() {
    const { events } = this.#socket;
    events.on("handshake", () => {
      this.#wrong = null;
      this.#isRetryLate = false;
      this.#onLink(true);
    });
    events.on("disconnect", () => {
      this.#isRetryLate = true;
      this.#onLink(false);
    });
    events.on("connect:retry", () => {
      if (!this.#isRetryLate) this.#wrong = "deaf";
      this.#isRetryLate = false;
      this.#noteTrouble();
    });
    for (const kind of ["protocol", "auth", "other"]) {
      events.on(`handshake:error:${kind}`, () => {
        this.#wrong = "handshake";
        this.#isRetryLate = true;
        this.#noteTrouble();
      });
    }
  }

  /* Whoever is behind a new connection knows nobody yet: HELLO is said at once. What came over the one before, and has not been
   * received yet, is of a registration that is over. */
  #onLink(isUp) {
    if (!this.#open) return;
    this.#isUp = isUp;
    this.#hellos = 0;
    this.#refusal = null;
    this.#isWelcome = false;
    if (this.#given !== null) {
      this.#forget();
      this.#forgotten = true;
    }
    this.#unsure = false;
    this.#own = []; /* for the connection before */
    this.#firstHello = this.#seq + 1n;
    if (isUp) this.#hello();
    this.#noteTrouble();
  }

  /* What is not decided yet, as while HELLO is under way, changes nothing. */
  #noteTrouble() {
    let kind = null;
    if (!this.#open) return;
    if (!this.#isUp) kind = this.#wrong === "deaf" ? lookAt(this.#endpoint) : this.#wrong;
    else if (this.#isWelcome) kind = "none";
    else if (this.#refusal !== null) kind = "refused";
    else if (this.#hellos > HELLOS_MAX) kind = "mute";
    const line = kind && this.#trouble.note(kind, this.#refusal ?? "", performance.now());
    if (!line) return;
    if (this.#onTrouble) this.#onTrouble(line);
    else say(kind === "none" ? "info" : "warn", line);
  }

  /* A gate that has refused us may have changed its mind. */
  #onRefusal(event) {
    this.#hellos = 0;
    this.#refusal = event.payload.toString();
    this.#noteTrouble();
    const seq = this.#helloSeq;
    setTimeout(() => this.#open && this.#helloSeq === seq && this.#refusal !== null && this.#hello(), REFUSED_MS).unref();
  }

  /* --- in */

  /* Wait until something has come, and take all of it. */
  async #take() {
    try {
      do this.#hear(await this.#socket.receive()); while (this.#open && this.#socket.readable);
    } catch (error) {
      if (!this.#open) return;
      if (error.code !== "EAGAIN") throw error;
      this.#askAgain();
    }
    this.#turned = performance.now();
  }

  /* Hear what the gate has taken away before we speak, and give what we say the time to leave. */
  async #turn() {
    if (this.#socket.readable) await this.#take();
    this.#flush();
    await new Promise(setImmediate);
    this.#turned = performance.now();
  }

  #hear(parts) {
    for (const event of this.#decode(parts)) if (this.#lookAt(event)) this.#arrived.push(event);
  }

  #pop() {
    if (this.#inbox.length === 0) [this.#inbox, this.#arrived] = [this.#arrived.reverse(), this.#inbox];
    return this.#inbox.pop();
  }

  /* The next event that the program has to see. */
  #next() {
    for (let event; (event = this.#pop()); ) {
      if (PAID.has(event.type) && this.#isCurrent()) {
        this.#taken.messages += 1;
        this.#taken.bytes += event.payload.length;
      }
      if (this.#follow(event) && !this.#isOver(event)) {
        this.#held = COUNTED.has(event.type) ? event : null;
        return event;
      }
    }
    return null;
  }

  /* Nobody waits for what the program does about it: another handler has it. */
  #isOver({ type, conn }) {
    return COUNTED.has(type) && (!this.#isCurrent() || this.#revoked.has(conn));
  }

  /* What the program has in its hands is of the registration that we have. */
  #isCurrent() {
    return this.#read !== null && this.#read === this.#given && !this.#forgotten;
  }

  #decode(parts) {
    try {
      const message = parts.length === 1 ? parseAlone(parts[0]) : parseParts(parts);
      const messages = message.header.type === BATCH ? [...parseBatch(message.payload)] : [message];
      return messages.map(({ header, payload, meta }) => ({
        type: EVENT[header.type] ?? String(header.type), code: header.code, opcode: header.code, flags: header.flags,
        more: Boolean(header.flags & FLAG.MORE), redelivered: Boolean(header.flags & FLAG.REDELIVERED),
        pending: Boolean(header.flags & FLAG.PENDING),
        conn: header.conn, seq: header.seq, time: header.time, payload, meta: metadataOf(meta),
      })).map((event) => ({ ...event, deliveries: event.redelivered ? event.meta.deliveries ?? 2 : 1 }));
    } catch (error) {
      if (!(error instanceof RangeError || error instanceof SyntaxError)) throw error;
      say("warn", `wsbus: malformed message: ${error.message}`);
      return [];
    }
  }

  /* What is for this class and not for the program, as soon as it has come; true when the program has to see it. */
  #lookAt(event) {
    if (event.type === "ping") {
      if (this.#own.length < PONGS_MAX) this.#say("pong", { payload: event.payload, seq: event.seq });
      return false;
    }
    if (event.type === "welcome") {
      if (event.seq && event.seq < this.#firstHello) return false; /* of the connection before */
      const given = registrationOf(event);
      if (this.#given !== null && this.#given !== given) this.#forget();
      this.#given = given;
      this.maxMessage = event.meta.max_message ?? Infinity;
      this.#forgotten = false;
      this.#unsure = false;
      this.#isWelcome = true;
      this.#hellos = 0;
      this.#refusal = null;
      this.#noteTrouble();
      this.#flushSoon(); /* what waited because we were not sure */
    } else if (event.type === "error" && event.code === 5) {
      if (!this.#forgotten) {
        this.#forget();
        this.#forgotten = this.#given !== null;
        this.#unsure = false;
        this.#isWelcome = false;
        this.#hello();
      }
      return false;
    } else if (event.type === "error" && event.seq === this.#helloSeq) {
      this.#onRefusal(event);
    } else if (event.type === "revoked") {
      this.#revoked.set(event.conn, (this.#revoked.get(event.conn) ?? 0) + 1);
      this.#done.delete(event.conn);
      this.#drop(({ conn }) => conn === event.conn);
    }
    return true;
  }

  /* The registration is over: what was to be said in it is about connections that others have now. */
  #forget() {
    this.#done.clear();
    this.#held = null;
    this.#taken = { messages: 0, bytes: 0 };
    this.#drop(({ named }) => named);
  }

  #drop(isStale) {
    const kept = this.#out.filter((command) => !isStale(command));
    this.stale += this.#out.length - kept.length;
    this.#outBytes -= bytesOf(this.#out) - bytesOf(kept);
    this.#out = kept;
    if (kept.length) this.#flushSoon();
  }

  /* Keep account of what the program has been told. False: it need not be. */
  #follow(event) {
    const { type, conn } = event;
    if (type === "welcome") {
      if (registrationOf(event) === this.#read) return false; /* a gate that is asked twice says it twice: no id is gone */
      this.#read = registrationOf(event);
      for (const each of this.#conns) this.#remember(each);
      this.#conns.clear();
    } else if (type === "open" || type === "request" || type === "writable") { /* the last: also where the end of a response was refused */
      this.#conns.add(conn);
      this.#past.delete(conn);
    } else if (type === "closed" || type === "aborted") {
      this.#conns.delete(conn);
    } else if (type === "revoked") {
      const unread = (this.#revoked.get(conn) ?? 1) - 1;
      if (unread > 0) this.#revoked.set(conn, unread);
      else this.#revoked.delete(conn);
      this.#conns.delete(conn);
      this.#remember(conn);
    }
    return true;
  }

  #remember(conn) {
    this.#past.add(conn);
    if (this.#past.size > PAST_CONNS_MAX) this.#past.delete(this.#past.values().next().value);
  }

  /* --- acknowledgement and credit */

  /* The program is done with the event it has. */
  #finish() {
    const event = this.#held;
    this.#held = null;
    if (!event || !this.#isCurrent() || this.#revoked.has(event.conn)) return;
    if (this.#done.size === 0) this.#flushSoon();
    this.#done.set(event.conn, { seq: event.seq }); /* not the event: its payload may be a part of much */
  }

  /* What is done with, and more credit when half of it has been used; kept until the gate has been told. */
  #news() {
    const done = [...this.#done];
    const taken = this.#taken;
    const { messages, bytes } = taken;
    const { credit } = this.#options;
    const isDue = messages > 0 && (messages >= Math.floor(credit.messages / 2) || bytes >= Math.floor(credit.bytes / 2));
    const records = [];
    if (done.length) records.push(this.#record("ack", { payload: makePairs(done.map(([conn, { seq }]) => [conn, seq])) }));
    if (isDue) records.push(this.#record("credit", { meta: { messages, bytes } }));
    const haveTold = () => {
      for (const [conn, last] of done) if (this.#done.get(conn) === last) this.#done.delete(conn);
      taken.messages -= isDue ? messages : 0;
      taken.bytes -= isDue ? bytes : 0;
    };
    return { records, haveTold };
  }
}
