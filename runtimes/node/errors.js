'use strict';
// Errors that cross the link: problems of the daemon become errors of the function, and whatever a
// function throws becomes the body of `failed`.

const CODE = /^[a-z][a-z0-9_]{0,63}$/;
const MESSAGE_MAX_BYTES = 8 * 1024;
const STACK_MAX_BYTES = 32 * 1024;
const CAUSES_MAX = 8;

/** An error with a stable code, and optionally a status and details for the caller. */
class AlyxError extends Error {
  constructor(code, message, { status, details, errors, hint } = {}) {
    super(message);
    this.name = 'AlyxError';
    this.code = code;
    if (status !== undefined) this.status = status;
    if (details !== undefined) this.details = details;
    if (errors !== undefined) this.errors = errors;
    if (hint !== undefined) this.hint = hint;
  }
}

/** Turns a problem document of the daemon into an error. */
function fromProblem(problem) {
  const { code = 'internal', detail, title, status, details, errors, hint } = problem;
  return new AlyxError(String(code), String(detail ?? title ?? code), { status, details, errors, hint });
}

/** Turns anything thrown into the fields of `failed`, with `details` as JSON text. Never throws. */
function toFailure(thrown, toJson) {
  try {
    return describe(thrown, toJson);
  } catch {
    return { code: 'function_error', message: 'the function threw something that cannot be read' };
  }
}

function describe(thrown, toJson) {
  if (typeof thrown !== 'object' || thrown === null) {
    return { code: 'function_error', message: cut(String(thrown), MESSAGE_MAX_BYTES) };
  }
  const chosen = typeof thrown.code === 'string' && CODE.test(thrown.code);
  const { status } = thrown;
  const statusIsValid = Number.isInteger(status) && status >= 400 && status <= 599;
  const details = thrown.details ?? (Array.isArray(thrown.errors) && chosen ? { errors: thrown.errors } : undefined);
  return {
    code: chosen ? thrown.code : 'function_error',
    status: statusIsValid ? status : undefined,
    message: cut(String(thrown.message ?? thrown), MESSAGE_MAX_BYTES),
    details: details === undefined ? undefined : detailsText(details, toJson),
    stack: typeof thrown.stack === 'string' ? cut(withoutShim(thrown.stack) + causes(thrown), STACK_MAX_BYTES) : undefined,
  };
}

/** The lines of the stack that are the user's business. */
function withoutShim(stack) {
  return stack
    .split('\n')
    .filter((line) => !(line.startsWith('    at ') && line.includes(`${__dirname}/`)))
    .join('\n');
}

/** What caused it, a line each: `fetch` keeps there why it failed. */
function causes(thrown) {
  const lines = [];
  for (let { cause } = thrown; cause instanceof Error && lines.length < CAUSES_MAX; { cause } = cause) {
    lines.push(`\ncaused by ${cause.name}: ${cause.message}`);
  }
  return lines.join('');
}

function detailsText(details, toJson) {
  try {
    return toJson(details);
  } catch {
    return undefined;
  }
}

/** Cuts text to a number of bytes, on a character's boundary. */
function cut(text, maxBytes) {
  if (text.length * 3 <= maxBytes) return text;
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length <= maxBytes) return text;
  let end = maxBytes;
  while (end > 0 && (bytes[end] & 0xc0) === 0x80) end -= 1;
  return `${bytes.toString('utf8', 0, end)}…`;
}

module.exports = { AlyxError, cut, fromProblem, toFailure };
