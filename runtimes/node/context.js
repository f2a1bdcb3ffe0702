'use strict';
// `ctx`: what a handler gets. One per invocation; parts that cost something are made when they are
// first read.

const { format } = require('util');
const { Db } = require('./db.js');
const { AlyxError, cut } = require('./errors.js');
const { respond } = require('./respond.js');

// The daemon cuts lines at 8 KiB; this only keeps a huge one off the link.
const LOG_LINE_BYTES = 16 * 1024;

class Context {
  #invocation;
  #db;
  #log;

  constructor(invocation, message, init) {
    this.#invocation = invocation;
    // Handlers may read members of it even where the caller sent nothing.
    this.input = message.input ?? {};
    this.auth = message.auth;
    this.request = message.request;
    this.traceId = message.trace_id;
    this.env = init.env;
    this.secrets = init.secrets;
  }

  get db() {
    return (this.#db ??= new Db((op, args, transaction) => this.#invocation.call(op, args, transaction)));
  }

  get events() {
    return this.db.events;
  }

  get log() {
    return (this.#log ??= makeLog((level, message) => this.#invocation.log(level, message)));
  }

  get signal() {
    return this.#invocation.signal;
  }

  /** When the invocation will be ended, in milliseconds since the epoch. */
  get deadline() {
    return this.#invocation.deadline;
  }

  /** Milliseconds that are left; never negative. */
  get remainingMs() {
    return Math.max(0, this.#invocation.deadline - Date.now());
  }

  respond(response) {
    return respond(response);
  }

  /** An error to throw: `throw ctx.error('card_declined', 'the card was declined', {status: 402})`. */
  error(code, message, options) {
    return new AlyxError(code, message, options);
  }
}

function makeLog(write) {
  const line = (level) => (...args) => write(level, cut(format(...args), LOG_LINE_BYTES));
  const log = line('info');
  log.debug = line('debug');
  log.info = log;
  log.warn = line('warn');
  log.error = line('error');
  return log;
}

module.exports = { Context };
