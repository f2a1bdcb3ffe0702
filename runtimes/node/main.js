'use strict';
// The Node shim: the program of a Node worker. Speaks the worker protocol on descriptor 3 and runs
// one function's handler, several invocations at a time.
//
// `hello` leaves before anything else is loaded, so that the wait for `init` covers the rest.
// stdout and stderr belong to user code; nothing here depends on them.

const { writeSync } = require('fs');
const { TYPE, encode, stringify } = require('./frame.js');

const PROTOCOL = 1;

writeSync(3, encode(TYPE.hello, `{"protocol":${PROTOCOL},"runtime":"node","version":"${process.version}"}`));

const { AsyncLocalStorage } = require('async_hooks');
const { Context } = require('./context.js');
const { toFailure } = require('./errors.js');
const { Invocation, failedFrame } = require('./invocation.js');
const link = require('./link.js');
const { load } = require('./load.js');

// The bundle's place; another one is given by tests that run without a sandbox.
const ROOT = process.argv[2] ?? '/fn';

const { exit } = process;

class Worker {
  calls = new Map();
  #open = new Map();
  #link;
  #init;
  #handler;
  #storage;
  #lastCall = 0;
  #stopping = false;

  start() {
    this.#link = link.open(
      (type, message) => this.#onFrame(type, message),
      () => exit(0),
    );
    process.on('uncaughtException', (error) => this.#onUncaught(error));
  }

  send(frame) {
    this.#link.send(frame);
  }

  nextCall() {
    this.#lastCall += 1;
    return this.#lastCall;
  }

  /** Sends the answer of an invocation and forgets it. */
  close(invocation, frame) {
    this.#open.delete(invocation.id);
    this.send(frame);
    if (this.#stopping) this.#exitWhenIdle();
  }

  #onFrame(type, message) {
    if (type === TYPE.invoke) this.#onInvoke(message);
    else if (type === TYPE.reply) this.#onReply(message);
    else if (type === TYPE.cancel) this.#open.get(message.invocation)?.cancel(message.reason);
    else if (type === TYPE.init) this.#onInit(message);
    else this.#onShutdown();
  }

  async #onInit(init) {
    if (this.#init !== undefined) throw new Error('a second init');
    this.#init = { ...init, env: Object.freeze(init.env), secrets: Object.freeze(init.secrets) };
    try {
      process.chdir(ROOT);
      Object.assign(process.env, init.env);
      const handler = await load(ROOT, init.entrypoint);
      // With one invocation at a time everything belongs to that one; tracking would cost time.
      if (init.concurrency > 1) this.#storage = new AsyncLocalStorage();
      this.#handler = handler;
    } catch (error) {
      return this.#failLoad(error);
    }
    this.send(encode(TYPE.ready, '{}'));
  }

  #failLoad(error) {
    const failure = { ...toFailure(error, stringify), code: 'function_load_failed', status: undefined };
    this.send(failedFrame(null, { ...failure, details: undefined }));
    this.#link.flush(() => exit(1));
  }

  #onInvoke(message) {
    if (this.#handler === undefined) throw new Error('an invoke before ready');
    if (this.#open.has(message.invocation)) throw new Error('an invocation that is open already');
    const invocation = new Invocation(message.invocation, message.deadline_ms, this);
    this.#open.set(invocation.id, invocation);
    const ctx = new Context(invocation, message, this.#init);
    if (this.#storage === undefined) this.#run(invocation, ctx);
    else this.#storage.run(invocation, () => this.#run(invocation, ctx));
  }

  async #run(invocation, ctx) {
    // Taken out first: called as a member it would get the worker as its `this`.
    const handler = this.#handler;
    try {
      invocation.done(await handler(ctx));
    } catch (error) {
      invocation.failed(error);
    }
  }

  #onReply(message) {
    const invocation = this.calls.get(message.call);
    if (invocation === undefined) throw new Error('a reply to no call');
    this.calls.delete(message.call);
    // Null: the invocation has given up on it.
    if (invocation !== null) invocation.reply(message);
  }

  #onShutdown() {
    this.#stopping = true;
    this.#exitWhenIdle();
  }

  #exitWhenIdle() {
    if (this.#open.size === 0) this.#link.flush(() => exit(0));
  }

  /** An error that no handler saw fails its invocation; outside of one it ends the worker. */
  #onUncaught(error) {
    const only = this.#open.size === 1 && this.#storage === undefined ? [...this.#open.values()][0] : undefined;
    const invocation = only ?? this.#storage?.getStore();
    if (invocation !== undefined && !invocation.ended) return invocation.failed(error);
    // The process ends here whatever happens to the text, so a full pipe is no concern.
    try {
      writeSync(2, `${error?.stack ?? error}\n`);
    } finally {
      exit(1);
    }
  }
}

new Worker().start();
