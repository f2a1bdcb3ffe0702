'use strict';
// `ctx.respond`: an HTTP response built by a handler, checked where the handler builds it so that
// the error points at its line.

const { AlyxError } = require('./errors.js');

const HEADERS_MAX = 100;
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const VALUE = /^[\t\x20-\x7e]*$/;

/** What `ctx.respond` returns. Handlers return it; they do not look inside. */
class Response {
  #wire;

  constructor(wire) {
    this.#wire = wire;
  }

  /** The `response` of a `done` frame, or null for anything but a response. */
  static wire(value) {
    return typeof value === 'object' && value !== null && #wire in value ? value.#wire : null;
  }
}

function respond({ status = 200, headers = {}, body } = {}) {
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw bad(`status ${String(status)} is not a whole number within 200..=599`);
  }
  const wire = { status, headers: checkHeaders(headers) };
  setBody(wire, body);
  return new Response(wire);
}

function checkHeaders(headers) {
  const checked = {};
  const entries = typeof headers.entries === 'function' ? [...headers.entries()] : Object.entries(headers);
  if (entries.length > HEADERS_MAX) throw bad(`${entries.length} headers are more than ${HEADERS_MAX}`);
  for (const [name, raw] of entries) {
    const value = String(raw);
    if (!NAME.test(name)) throw bad(`${JSON.stringify(name)} is not a header name`);
    if (!VALUE.test(value)) throw bad(`header ${name} has a character that headers cannot carry`);
    checked[name.toLowerCase()] = value;
  }
  return checked;
}

function setBody(wire, body) {
  if (body === undefined || body === null) return;
  if (typeof body === 'string') {
    wire.body = body;
    wire.headers['content-type'] ??= 'text/plain; charset=utf-8';
  } else if (ArrayBuffer.isView(body)) {
    wire.body_base64 = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('base64');
    wire.headers['content-type'] ??= 'application/octet-stream';
  } else if (body instanceof ArrayBuffer) {
    setBody(wire, new Uint8Array(body));
  } else {
    wire.body = JSON.stringify(body);
    if (wire.body === undefined) throw bad(`a body cannot be a ${typeof body}`);
    wire.headers['content-type'] ??= 'application/json';
  }
}

function bad(message) {
  return new AlyxError('function_bad_response', `ctx.respond: ${message}`);
}

module.exports = { Response, respond };
