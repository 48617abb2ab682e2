/// <reference types="node" />

/** Handlers for the wsbus gateway. The protocol is docs/protocol.md; wsbus.js says what each call promises. */

/** One WebSocket connection or one HTTP exchange; 0n is none. */
export type Conn = bigint;

export type Opcode = 1 | 2;

export type EventType =
  | "welcome" | "open" | "data" | "closed" | "pong" | "request" | "body" | "aborted" | "outcome" | "writable" | "revoked" | "ping"
  | "level" | "drain" | "error" | "members" | "joined" | "left";

export interface BusEvent {
  /** One of EventType, or a number as text for a type that this version does not know. */
  readonly type: EventType | (string & {});
  readonly code: number;
  /** Of "data": TEXT or BINARY. */
  readonly opcode: number;
  readonly flags: number;
  readonly more: boolean;
  readonly redelivered: boolean;
  /** Of "open": the client waits for accept() or reject(). */
  readonly pending: boolean;
  /** How often the event has been delivered, this time included. */
  readonly deliveries: number;
  readonly conn: Conn;
  readonly seq: bigint;
  /** Nanoseconds since the Unix epoch. */
  readonly time: bigint;
  readonly payload: Buffer;
  /** The metadata of docs/protocol.md; empty where there is none. */
  readonly meta: Readonly<Record<string, any>>;
}

export type Slow = "close" | "drop-new" | "drop-old" | "conflate";
export type Payload = string | Uint8Array;
/** Names that differ in case are one name. */
export type Headers = Record<string, string | readonly string[]> | Iterable<readonly [string, string | readonly string[]]>;

export interface HandlerOptions {
  routes: readonly string[];
  /** The gate's runtime directory, "ipc:///DIRECTORY" or "tcp://HOST:PORT"; by default where the gate usually is. */
  bus?: string;
  /** Shown by wsctl, and by which `pin = hash` chooses. Default: the name of the program's file. */
  name?: string;
  silenceMs?: number;
  /** What the gate may send ahead. */
  credit?: { messages: number; bytes: number };
  /** "joined" and "left" events come. */
  presence?: boolean;
  /** 1 to 1000: how many connections, compared with other handlers. */
  weight?: number;
  /** What the program serves on its routes; both when it is left out. */
  kinds?: readonly ("websocket" | "http")[];
  /** For tcp://: the gate's public key, and the file with our secret one. */
  serverKey?: string;
  keyFile?: string;
  /** Gets each line about a registration that does not come about, and the one about its end, in place of stderr. */
  onTrouble?: ((line: string) => void) | null;
}

export interface SendOptions {
  /** For a client that does not read. */
  slow?: Slow;
  /** For "conflate". */
  key?: string;
  /** Not compressed, whatever was agreed with the client. */
  plain?: boolean;
}

/** One of these. */
export interface Audience {
  group?: string;
  route?: string;
  user?: string;
  tag?: string;
  all?: boolean;
}

/** The line about what keeps a handler from being registered, when it is due. For tests of the words. */
export class Trouble {
  constructor(options: { name: string; routes: readonly string[]; endpoint: string; publicKey?: string });
  note(kind: "none" | "absent" | "denied" | "deaf" | "handshake" | "refused" | "mute", words: string, nowMs: number): string | null;
}

export class Handler implements AsyncIterable<BusEvent> {
  constructor(options: HandlerOptions);
  /** Commands for which there was no room any more. */
  lost: number;
  /** Commands for connections that are others' now. */
  stale: number;
  /** Bytes that the gate takes in one message or response; Infinity before it has said so. */
  maxMessage: number;
  /** By asking for the next event the program says that it is done with the one before. Ends when the gate drains the handler. */
  [Symbol.asyncIterator](): AsyncGenerator<BusEvent, void, undefined>;
  send(conn: Conn, payload: Payload, opcode?: number, options?: SendOptions): void;
  publish(payload: Payload, to: Audience & SendOptions & { except?: readonly Conn[] }, opcode?: number): void;
  close(conn: Conn, code?: number, reason?: string): void;
  /** Let a client in whose "open" event is pending: of a gatekeeper, and of a route with accept = handler. */
  accept(conn: Conn, options?: {
    subprotocol?: string; headers?: Headers; groups?: readonly string[]; user?: string; tags?: readonly string[];
  }): void;
  /** Answer it instead, with 403 unless the status says otherwise. */
  reject(conn: Conn, body?: Payload, options?: { status?: number; headers?: Headers }): void;
  join(conn: Conn, ...groups: string[]): void;
  leave(conn: Conn, ...groups: string[]): void;
  tag(conn: Conn, marks: { set?: readonly string[]; unset?: readonly string[]; user?: string }): void;
  /** "members" events with the seq that is returned. */
  list(of: Audience & { limit?: number }): bigint;
  /** The program still works on its event: the gate's ack_timeout begins anew. */
  working(): void;
  respond(conn: Conn, body: Payload, options?: { status?: number; headers?: Headers; more?: boolean }): void;
  /** More of a response; the seq of its "outcome" event is returned. */
  body(conn: Conn, data: Payload, options?: { more?: boolean; at?: number; outcome?: boolean }): bigint;
  /** Ask for the body of a request with meta.expect_continue. */
  continue(conn: Conn): void;
  /** Say BYE. What the program still has is not done with: another handler gets it. */
  bye(): Promise<void>;
}

/* --- the envelope */

export interface Header {
  type: number;
  code: number;
  flags: number;
  size: number;
  conn: Conn;
  seq: bigint;
  time: bigint;
}

export interface Message {
  header: Header;
  payload: Buffer;
  /** JSON, or "". */
  meta: string;
}

export const VERSION: 1;
export const HEADER_SIZE: 32;
export const TEXT: 1;
export const BINARY: 2;
export const FLAG: Readonly<Record<"META" | "MORE" | "REDELIVERED" | "WANT_OUTCOME" | "PENDING" | "PLAIN", number>>;
export const EVENT: Readonly<Record<number, EventType>>;
export const COMMAND: Readonly<Record<string, number>>;
/** These throw RangeError on bytes that are no envelope. */
export function parseHeader(bytes: Buffer): Header;
export function parseParts(parts: readonly Buffer[]): Message;
/** A message that came as one part. */
export function parseAlone(bytes: Buffer): Message;
export function parseBatch(bytes: Buffer): Generator<Message, void, undefined>;
export function makeHeader(fields: Partial<Header> & { type: number }): Buffer;
export function makeRecord(header: Buffer, payload?: Buffer, meta?: Buffer): Buffer;
export function makePairs(pairs: readonly (readonly [Conn, bigint])[]): Buffer;
export function connHex(conn: Conn): string;
export function runtimeDir(wanted?: string): string;
export function parseKey(text: string): string;
