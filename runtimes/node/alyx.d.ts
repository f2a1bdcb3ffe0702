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

export interface Query {
  /** Conditions `field:op:value`, all of which must hold. */
  filter?: string | string[];
  /** Fields, `-` in front for descending order. */
  sort?: string | string[];
  /** The fields to return. */
  fields?: string | string[];
  /** 1 to 1000, 30 by default. */
  limit?: number;
  offset?: number;
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
}

export interface Db {
  list<T = Document>(collection: string, query?: Query): Promise<Page<T>>;
  /** The document, or null where there is none or the caller may not see it. */
  get<T = Document>(collection: string, id: string): Promise<T | null>;
  create<T = Document>(collection: string, data: Document): Promise<T>;
  update<T = Document>(collection: string, id: string, data: Document): Promise<T>;
  delete(collection: string, id: string): Promise<void>;
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
