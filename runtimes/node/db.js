'use strict';
// `ctx.db`: the documents API of the caller, asked over the link. The daemon checks the rules; here
// arguments only take the shape that `runtimes/README.md` lists.

class Db {
  #call;

  constructor(call) {
    this.#call = call;
  }

  /** One page of documents: `{docs, limit, next_cursor?, total?}`. */
  list(collection, query = {}) {
    return this.#call('db.list', { collection, query: toQuery(query) });
  }

  /** The document, or null where there is none or the caller may not see it. */
  async get(collection, id) {
    try {
      return await this.#call('db.get', { collection, id });
    } catch (error) {
      if (error.code === 'document_not_found') return null;
      throw error;
    }
  }

  /** The new document as it is stored. */
  create(collection, data) {
    return this.#call('db.create', { collection, data });
  }

  /** The changed document as it is stored. */
  update(collection, id, data) {
    return this.#call('db.update', { collection, id, data });
  }

  async delete(collection, id) {
    await this.#call('db.delete', { collection, id });
  }
}

/** Lists may be given as one text or as an array; on the wire `filter` is an array, the others text. */
function toQuery({ filter, sort, fields, ...rest }) {
  const query = rest;
  if (filter !== undefined) query.filter = typeof filter === 'string' ? [filter] : filter;
  if (sort !== undefined) query.sort = Array.isArray(sort) ? sort.join(',') : sort;
  if (fields !== undefined) query.fields = Array.isArray(fields) ? fields.join(',') : fields;
  return query;
}

module.exports = { Db };
