'use strict';
// Frames of the worker link: bytes to messages and back. Specified in `protocol/src/worker.rs`.
//
// Everything that user code could replace (`JSON.parse`, `Buffer.from`, …) is captured when this
// file loads, which is before any user code. Nothing here does I/O.

const { isUtf8 } = require('buffer');

const { parse, stringify } = JSON;
const { allocUnsafe, byteLength, concat } = Buffer;
const { isSafeInteger } = Number;
const { isArray } = Array;
const utf8Slice = Buffer.prototype.utf8Slice;
const utf8Write = Buffer.prototype.utf8Write;

const FRAME_MAX_BYTES = 16 * 1024 * 1024;
const DEPTH_MAX = 128;
const PREFIX_BYTES = 4;

const TYPE = Object.freeze({
  init: 0x01,
  invoke: 0x02,
  reply: 0x04,
  cancel: 0x05,
  shutdown: 0x06,
  hello: 0x80,
  ready: 0x81,
  call: 0x82,
  log: 0x83,
  done: 0x85,
  failed: 0x86,
});

/** Bytes that are not a frame of this protocol. Fatal to the link. */
class FrameError extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

/**
 * The whole frame, length prefix included, or null where the body is over the bound. Throws where
 * it is nested deeper than the daemon accepts.
 */
function encode(type, json) {
  if (!depthIsFine(json)) throw new RangeError(`nested over ${DEPTH_MAX} levels`);
  const length = 1 + byteLength(json);
  if (length > FRAME_MAX_BYTES) return null;
  const frame = allocUnsafe(PREFIX_BYTES + length);
  frame.writeUInt32LE(length, 0);
  frame[PREFIX_BYTES] = type;
  utf8Write.call(frame, json, PREFIX_BYTES + 1);
  return frame;
}

/** Whether no array or object of a JSON text is nested over the bound. */
function depthIsFine(json) {
  // Every level needs two characters.
  if (json.length <= 2 * DEPTH_MAX) return true;
  let depth = 0;
  for (let at = 0; at < json.length; at += 1) {
    const character = json.charCodeAt(at);
    if (character === QUOTE) at = endOfText(json, at);
    else if (character === OPEN_ARRAY || character === OPEN_OBJECT) {
      depth += 1;
      if (depth > DEPTH_MAX) return false;
    } else if (character === CLOSE_ARRAY || character === CLOSE_OBJECT) depth -= 1;
  }
  return true;
}

const [QUOTE, BACKSLASH, OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [0x22, 0x5c, 0x5b, 0x5d, 0x7b, 0x7d];

/** Where the text that begins at `at` ends. */
function endOfText(json, at) {
  for (let end = at + 1; ; end += 1) {
    const character = json.charCodeAt(end);
    if (character === BACKSLASH) end += 1;
    else if (character === QUOTE) return end;
  }
}

/** Reads a length prefix. */
function frameLength(bytes, offset) {
  const length = bytes.readUInt32LE(offset);
  if (length === 0 || length > FRAME_MAX_BYTES) {
    throw new FrameError('length', `frame length ${length} is not within 1..=${FRAME_MAX_BYTES}`);
  }
  return length;
}

/** Reads the frame without its length prefix at `start..end`. */
function decode(bytes, start, end) {
  const type = bytes[start];
  const check = CHECKS[type];
  if (check === undefined) {
    throw new FrameError('type', `frame type 0x${type.toString(16)} is unknown in this direction`);
  }
  let message;
  try {
    if (!isUtf8(bytes.subarray(start + 1, end))) throw new Error('the body is not UTF-8');
    message = parse(utf8Slice.call(bytes, start + 1, end));
    if (!isObject(message) || !check(message)) throw new Error('a field is missing or of a wrong type');
  } catch (error) {
    const hex = type.toString(16).padStart(2, '0');
    throw new FrameError('body', `body of frame type 0x${hex} is malformed: ${error.message}`);
  }
  return { type, message };
}

const isObject = (value) => typeof value === 'object' && value !== null && !isArray(value);
const isId = (value) => isSafeInteger(value) && value > 0;
const isText = (value) => typeof value === 'string';

function isTextMap(value) {
  if (!isObject(value)) return false;
  for (const key in value) if (typeof value[key] !== 'string') return false;
  return true;
}

const REASONS = new Set(['deadline', 'client_gone', 'shutdown']);

const CHECKS = Object.freeze({
  __proto__: null,
  [TYPE.init]: (m) =>
    isText(m.function) && isText(m.entrypoint) && isTextMap(m.env) && isTextMap(m.secrets) && isId(m.concurrency),
  [TYPE.invoke]: (m) =>
    isId(m.invocation) &&
    isSafeInteger(m.deadline_ms) &&
    m.input !== undefined &&
    isObject(m.auth) &&
    isObject(m.request) &&
    isText(m.trace_id),
  [TYPE.reply]: (m) => isId(m.call) && (m.error === undefined ? m.ok !== undefined : isObject(m.error)),
  [TYPE.cancel]: (m) => isId(m.invocation) && REASONS.has(m.reason),
  [TYPE.shutdown]: () => true,
});

/**
 * Cuts a stream of bytes into frames. Memory follows the bytes received, never a length that was
 * only announced.
 */
class Splitter {
  #chunks = [];
  #size = 0;
  #onFrame;

  constructor(onFrame) {
    this.#onFrame = onFrame;
  }

  /** Takes bytes, which may be reused by the caller afterwards. */
  push(bytes) {
    if (this.#size === 0) return this.#keep(bytes, this.#take(bytes));
    this.#keep(bytes, 0);
    if (this.#size < this.#wanted()) return;
    const all = concat(this.#chunks, this.#size);
    this.#chunks = [];
    this.#size = 0;
    this.#keep(all, this.#take(all));
  }

  /** Hands over every whole frame and returns where the first unfinished one starts. */
  #take(bytes) {
    let at = 0;
    while (bytes.length - at >= PREFIX_BYTES) {
      const end = at + PREFIX_BYTES + frameLength(bytes, at);
      if (end > bytes.length) break;
      const { type, message } = decode(bytes, at + PREFIX_BYTES, end);
      at = end;
      this.#onFrame(type, message);
    }
    return at;
  }

  #keep(bytes, from) {
    if (from === bytes.length) return;
    const rest = allocUnsafe(bytes.length - from);
    bytes.copy(rest, 0, from);
    this.#chunks.push(rest);
    this.#size += rest.length;
  }

  /** Bytes that make the next step worth while. */
  #wanted() {
    if (this.#size < PREFIX_BYTES) return PREFIX_BYTES;
    if (this.#chunks[0].length < PREFIX_BYTES) this.#chunks = [concat(this.#chunks, this.#size)];
    return PREFIX_BYTES + frameLength(this.#chunks[0], 0);
  }
}

module.exports = { FrameError, Splitter, TYPE, decode, encode, frameLength, parse, stringify };
