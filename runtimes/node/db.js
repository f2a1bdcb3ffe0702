'use strict';
// `ctx.db`: the documents API of the caller, asked over the link. The daemon checks the rules; here
// arguments only take the shape that `runtimes/README.md` lists.

/** `ctx.events`, and `tx.events` of a transaction. */
class Events {
  #call;

  constructor(call) {
    this.#call = call;
  }

  /** Tells `payload`, any JSON, to whoever listens to the event: `{id, name, at}`. */
  publish(name, payload = null) {
    return this.#call('events.publish', { name, payload });
  }
}

class Db {
  #invoke;
  #transaction;

  constructor(invoke, transaction) {
    this.#invoke = invoke;
    this.#transaction = transaction;
  }

  #call(op, args) {
    return this.#invoke(op, args, this.#transaction);
  }

  /** What is published here goes out with the commit. */
  get events() {
    return new Events((op, args) => this.#call(op, args));
  }

  /** One page of documents: `{docs, limit, next_cursor?, total?, snippets?}`. */
  list(collection, query = {}) {
    return this.#call('db.list', { collection, query: toQuery(query) });
  }

  /** The document, or null where there is none or the caller may not see it. */
  async get(collection, id, { versioned, ...query } = {}) {
    try {
      const args = { collection, id };
      if (Object.keys(query).length > 0) args.query = toQuery(query);
      return await this.#call('db.get', withOptions(args, { versioned }));
    } catch (error) {
      if (error.code === 'document_not_found') return null;
      throw error;
    }
  }

  /** Counts, sums and the like: `{groups, limit, more}`. */
  aggregate(collection, query = {}) {
    return this.#call('db.aggregate', { collection, query: toQuery(query) });
  }

  /** The new document as it is stored. */
  create(collection, data, options) {
    return this.#call('db.create', withOptions({ collection, data }, options));
  }

  /** The new document, or the changed one that has the same value in a unique field. */
  upsert(collection, field, data, options) {
    return this.#call('db.upsert', withOptions({ collection, field, data }, options));
  }

  /** The changed document as it is stored. */
  update(collection, id, data, options) {
    return this.#call('db.update', withOptions({ collection, id, data }, options));
  }

  /** The document that took the place of the old one. */
  replace(collection, id, data, options) {
    return this.#call('db.replace', withOptions({ collection, id, data }, options));
  }

  async delete(collection, id, options) {
    await this.#call('db.delete', withOptions({ collection, id }, options));
  }

  /** Changes what the query selects, all or none: `{count, more, dry_run}`. */
  updateMany(collection, query, data) {
    return this.#call('db.update_many', { collection, query: toQuery(query), data });
  }

  /** Deletes what the query selects, all or none: `{count, more, dry_run}`. */
  deleteMany(collection, query) {
    return this.#call('db.delete_many', { collection, query: toQuery(query) });
  }

  /** Several writes, all or none: `{results: [{status, id, etag, doc}]}`. */
  batch(operations, options) {
    return this.#call('db.batch', withOptions({ operations }, options));
  }

  /**
   * Runs `work(tx)` in one transaction: committed when it returns, undone when it throws. `tx` is a
   * `ctx.db` of its own.
   */
  async transaction(work) {
    const { transaction } = await this.#call('db.begin', {});
    const tx = new Db(this.#invoke, transaction);
    let value;
    try {
      value = await work(tx);
    } catch (error) {
      // Where it is over already there is nothing left to undo.
      await tx.#call('db.rollback', {}).catch(() => {});
      throw error;
    }
    await tx.#call('db.commit', {});
    return value;
  }
}

const OPTIONS = {
  ifMatch: 'if_match',
  ifNoneMatch: 'if_none_match',
  idempotencyKey: 'idempotency_key',
  versioned: 'versioned',
};

/** Options under their names on the wire; what is unknown is left for the daemon to refuse. */
function withOptions(args, options = {}) {
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined) args[OPTIONS[name] ?? name] = value;
  }
  return args;
}

/** Lists may be given as one text or as an array; on the wire `filter` is an array, the others text. */
function toQuery({ filter, dryRun, ...rest }) {
  const query = {};
  if (filter !== undefined) query.filter = typeof filter === 'string' ? [filter] : filter;
  if (dryRun !== undefined) query.dry_run = dryRun;
  for (const [name, value] of Object.entries(rest)) {
    query[name] = Array.isArray(value) && name !== 'where' ? value.join(',') : value;
  }
  return query;
}

module.exports = { Db };
