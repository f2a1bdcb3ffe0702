/**
 * Types of what a function gets.
 *
 *     /** @param {import('alyx').Context<{ name?: string }>} ctx *\/
 *     export default async function (ctx) { return { hello: ctx.input.name ?? 'world' } }
 */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** A handler: the default export, `module.exports`, or an export named `handler`. */
export type Handler<Input = any> = (ctx: Context<Input>) => unknown | Promise<unknown>;

export interface Context<Input = any> {
  /** The caller's JSON; `{}` where the caller sent nothing. */
  readonly input: Input;
  readonly auth: Auth;
  readonly request: Request;
  /** Documents, under the identity of the caller. */
  readonly db: Db;
  readonly events: Events;
  /** Log lines of this invocation; `ctx.log(…)` is `ctx.log.info(…)`. */
  readonly log: Log;
  /** The function's environment, also in `process.env`. */
  readonly env: Readonly<Record<string, string>>;
  /** Not in `process.env`. */
  readonly secrets: Readonly<Record<string, string>>;
  /** Aborted when the deadline has passed or the caller has gone. */
  readonly signal: AbortSignal;
  /** When the invocation will be ended, in milliseconds since the epoch. */
  readonly deadline: number;
  /** Milliseconds that are left. */
  readonly remainingMs: number;
  /** W3C trace id of the request. */
  readonly traceId: string;
  /** Builds an HTTP response; return it. */
  respond(response?: ResponseInit): Response;
  /** Builds an error; throw it. */
  error(code: string, message: string, options?: { status?: number; details?: unknown }): AlyxError;
}

/** Who is calling. An anonymous caller has no id. */
export interface Auth {
  readonly id: string | null;
  readonly email: string | null;
  readonly role: string | null;
  readonly verified: boolean;
}

/** The HTTP request behind the call. Credentials are never among the headers. */
export interface Request {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly ip: string;
}

export interface Log {
  (...parts: unknown[]): void;
  debug(...parts: unknown[]): void;
  info(...parts: unknown[]): void;
  warn(...parts: unknown[]): void;
  error(...parts: unknown[]): void;
}

export type Document = { [field: string]: any };

/** Conditions as JSON: `{ views: { $gt: 10 }, $or: [ … ] }`; docs/queries.md has the grammar. */
export type Where = { [field: string]: any };

/** Which documents. */
export interface Selection {
  /** Conditions `field:op:value`, all of which must hold. */
  filter?: string | string[];
  where?: Where;
  /** Words to look for in the fields marked `search`. */
  search?: string;
}

export interface Query extends Selection {
  /** Fields, `-` in front for descending order. */
  sort?: string | string[];
  /** The fields to return. */
  fields?: string | string[];
  /** Relations whose documents come along. */
  expand?: string | string[];
  /** 1 to 1000, 30 by default. */
  limit?: number;
  offset?: number;
  page?: number;
  /** The `next_cursor` of the page before. */
  cursor?: string;
  /** Asks for `total`. */
  count?: boolean;
}

export interface Page<T = Document> {
  docs: T[];
  limit: number;
  next_cursor?: string;
  total?: number;
  /** With `search`: where the words stand, one for each document. */
  snippets?: any[];
}

export interface AggregateQuery extends Selection {
  count?: boolean;
  sum?: string | string[];
  avg?: string | string[];
  min?: string | string[];
  max?: string | string[];
  /** Fields whose values make the groups. */
  group?: string | string[];
  limit?: number;
  offset?: number;
  page?: number;
}

export interface Groups {
  groups: Document[];
  limit: number;
  /** Whether there are more groups than the limit. */
  more: boolean;
}

export interface BulkQuery extends Selection {
  sort?: string | string[];
  /** The most documents that may be touched. */
  limit: number;
  /** Checks and counts, and writes nothing. */
  dryRun?: boolean;
}

export interface BulkResult {
  count: number;
  /** Whether the query selects more than its limit. */
  more: boolean;
  dry_run: boolean;
}

/** A document with its version. */
export interface Versioned<T = Document> {
  status: number;
  id: string;
  /** For `ifMatch`. */
  etag: string;
  doc: T;
}

export interface Once {
  /** Under this key it is done once, however often it is asked for within a day. */
  idempotencyKey?: string;
}

export interface Condition {
  /** Done only if the document is at this version; `*`: if there is one. Else `precondition_failed`. */
  ifMatch?: string;
}

export interface Absence {
  /** `*`: done only if there is no such document. */
  ifNoneMatch?: '*';
}

export interface Shown {
  fields?: string | string[];
  expand?: string | string[];
}

type V = { versioned: true };

export interface Operation {
  /** By which later operations refer to its document: `{ $ref: 'name.field' }`. */
  name?: string;
  op: 'create' | 'update' | 'replace' | 'upsert' | 'delete';
  collection: string;
  id?: string | { $ref: string };
  /** The unique field of an upsert. */
  field?: string;
  data?: Document;
  if_match?: string;
}

export interface BatchResult {
  results: (Versioned | { status: 204 })[];
}

export interface Published {
  id: string;
  name: string;
  at: string;
}

export interface Events {
  /** Tells `payload`, any JSON, to whoever listens to the event that the schema names so. */
  publish(name: string, payload?: unknown): Promise<Published>;
}

export interface Db {
  /** In a transaction: what is published goes out with the commit, or not at all. */
  readonly events: Events;
  list<T = Document>(collection: string, query?: Query): Promise<Page<T>>;
  /** The document, or null where there is none or the caller may not see it. */
  get<T = Document>(collection: string, id: string, options: Shown & V): Promise<Versioned<T> | null>;
  get<T = Document>(collection: string, id: string, options?: Shown): Promise<T | null>;
  aggregate(collection: string, query?: AggregateQuery): Promise<Groups>;
  create<T = Document>(collection: string, data: Document, options: Once & V): Promise<Versioned<T>>;
  create<T = Document>(collection: string, data: Document, options?: Once): Promise<T>;
  /** Creates a document, or changes the one with the same value in the unique `field`. */
  upsert<T = Document>(collection: string, field: string, data: Document, options: Once & V): Promise<Versioned<T>>;
  upsert<T = Document>(collection: string, field: string, data: Document, options?: Once): Promise<T>;
  /** `{ $inc: 1 }`, `{ $push: x }` and `{ $pull: x }` change what is there. */
  update<T = Document>(collection: string, id: string, data: Document, options: Condition & V): Promise<Versioned<T>>;
  update<T = Document>(collection: string, id: string, data: Document, options?: Condition): Promise<T>;
  replace<T = Document>(collection: string, id: string, data: Document, options: Condition & Absence & V): Promise<Versioned<T>>;
  replace<T = Document>(collection: string, id: string, data: Document, options?: Condition & Absence): Promise<T>;
  delete(collection: string, id: string, options?: Condition): Promise<void>;
  updateMany(collection: string, query: BulkQuery, data: Document): Promise<BulkResult>;
  deleteMany(collection: string, query: BulkQuery): Promise<BulkResult>;
  /** All operations, or none. */
  batch(operations: Operation[], options?: Once): Promise<BatchResult>;
  /** Committed when `work` returns, undone when it throws. Meanwhile only `tx` writes. */
  transaction<T>(work: (tx: Db) => T | Promise<T>): Promise<T>;
}

export interface ResponseInit {
  /** 200 to 599, 200 by default. */
  status?: number;
  headers?: Record<string, string> | Headers;
  /** Text, bytes, or anything that encodes as JSON. */
  body?: string | ArrayBuffer | ArrayBufferView | unknown;
}

/** What `ctx.respond` returns. */
export interface Response {
  readonly __alyxResponse: unique symbol;
}

/** An error with a stable code, also what the methods of `ctx.db` reject with. */
export interface AlyxError extends Error {
  code: string;
  status?: number;
  details?: any;
  /** Wrong fields of a document that was refused. */
  errors?: { field: string; code: string; message: string }[];
  hint?: string;
}
