'use strict';
// One open invocation: its calls to the daemon, its log, its signal, and its single answer.
//
// After the answer nothing more is sent in its name, because the daemon treats a frame about an
// unknown invocation as a broken worker.

const { AlyxError, fromProblem, toFailure } = require('./errors.js');
const { TYPE, encode, stringify } = require('./frame.js');
const { Response } = require('./respond.js');

// The daemon allows this many open calls of one invocation; further ones wait here.
const OPEN_CALLS_MAX = 32;

class Invocation {
  calls = new Map();
  #waiting = [];
  #controller;
  #cancelled;
  #onDrained;

  constructor(id, deadlineMs, worker) {
    this.id = id;
    this.worker = worker;
    this.deadline = Date.now() + deadlineMs;
    this.ended = false;
  }

  get signal() {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#cancelled !== undefined) this.#controller.abort(this.#cancelled);
    }
    return this.#controller.signal;
  }

  /** Asks the daemon for something, within a transaction or outside; resolves with its answer. */
  call(op, args, transaction) {
    return new Promise((resolve, reject) => {
      if (this.#cancelled !== undefined) return reject(this.#cancelled);
      if (this.ended) {
        return reject(new AlyxError('invocation_ended', `${op}: the invocation has been answered already`));
      }
      const id = this.worker.nextCall();
      const within = transaction === undefined ? '' : `,"transaction":${transaction}`;
      const head = `{"call":${id},"invocation":${this.id}${within},"op":${stringify(op)}`;
      const frame = encode(TYPE.call, `${head},"args":${stringify(args)}}`);
      if (frame === null) throw new AlyxError('call_too_large', `${op}: over 16 MiB`, { status: 413 });
      const call = { id, frame, resolve, reject };
      if (this.calls.size < OPEN_CALLS_MAX) this.#sendCall(call);
      else this.#waiting.push(call);
    });
  }

  #sendCall(call) {
    this.calls.set(call.id, call);
    this.worker.calls.set(call.id, this);
    this.worker.send(call.frame);
  }

  /** Settles one call with the daemon's reply. */
  reply(message) {
    const { resolve, reject } = this.calls.get(message.call);
    this.calls.delete(message.call);
    if (message.error !== undefined) reject(fromProblem(message.error));
    else resolve(message.ok);
    if (this.#waiting.length > 0) this.#sendCall(this.#waiting.shift());
    if (this.calls.size === 0) this.#onDrained?.();
  }

  /** Fires the signal and gives up on the calls; the handler still answers. */
  cancel(reason) {
    if (this.#cancelled !== undefined) return;
    this.#cancelled = new AlyxError('invocation_cancelled', `the invocation was cancelled: ${reason}`, {
      status: 503,
      details: { reason },
    });
    this.#rejectCalls();
    this.#controller?.abort(this.#cancelled);
  }

  #rejectCalls() {
    for (const id of this.calls.keys()) this.worker.calls.set(id, null);
    for (const call of [...this.calls.values(), ...this.#waiting]) call.reject(this.#cancelled);
    this.calls.clear();
    this.#waiting = [];
    this.#onDrained?.();
  }

  log(level, message) {
    const id = this.ended ? 'null' : this.id;
    this.worker.send(encode(TYPE.log, `{"invocation":${id},"level":"${level}","message":${stringify(message)}}`));
  }

  /** Answers with what the handler returned, once the calls it did not wait for are answered. */
  done(value) {
    if (this.ended) return;
    if (this.calls.size === 0) return this.#answerDone(value);
    // One turn later, so that a rejection nobody handles is reported as this invocation's failure.
    this.#onDrained = () => setImmediate(() => this.done(value));
  }

  #answerDone(value) {
    let frame;
    try {
      frame = encode(TYPE.done, doneText(this.id, value));
    } catch (error) {
      const message = `the function returned something that is not JSON: ${error.message}`;
      return this.failed(new AlyxError('function_result_not_json', message));
    }
    if (frame === null) {
      return this.failed(new AlyxError('function_output_too_large', 'the function returned more than 16 MiB'));
    }
    this.#answer(frame);
  }

  /** Answers with what the handler threw. */
  failed(thrown) {
    if (this.ended) return;
    this.#answer(failedFrame(this.id, toFailure(thrown, stringify)));
  }

  #answer(frame) {
    this.ended = true;
    for (const id of this.calls.keys()) this.worker.calls.set(id, null);
    this.worker.close(this, frame);
  }
}

function doneText(id, value) {
  if (value === undefined) return `{"invocation":${id}}`;
  const response = Response.wire(value);
  if (response !== null) return `{"invocation":${id},"response":${stringify(response)}}`;
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
    throw new TypeError('bytes; return ctx.respond({ body }) for them');
  }
  const json = stringify(value);
  if (json === undefined) throw new TypeError(`a ${typeof value}`);
  return `{"invocation":${id},"value":${json}}`;
}

/** A `failed` frame; details that a frame cannot hold are left out. */
function failedFrame(invocation, failure) {
  try {
    const frame = encode(TYPE.failed, failedText(invocation, failure));
    if (frame !== null) return frame;
  } catch {
    // Nested too deep, which only details can be.
  }
  return encode(TYPE.failed, failedText(invocation, { ...failure, details: undefined }));
}

/** The body of `failed`; `details` is JSON text already. */
function failedText(invocation, { details, ...fields }) {
  const text = stringify({ invocation, ...fields });
  return details === undefined ? text : `${text.slice(0, -1)},"details":${details}}`;
}

module.exports = { Invocation, failedFrame };
