// Receives webhooks and verifies them with the reference library.
//
//   node receiver.mjs SECRET...
//
// Prints where it listens. What a path answers:
//
//   /ok         204
//   /flaky      503 with `Retry-After: 1` the first time, then 200
//   /broken     500 with a body
//   /gone       410
//   /redirect   307 to /inner
//   /twice      500 the first two times of each id, then 200
//   /switch     500 until somebody has asked for /mend, then 200
//
// `GET /seen` lists what came: { at, path, headers, body, verified, status } where `at` is in milliseconds
// since 1970 and `verified` has one entry a secret.

import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const secrets = process.argv.slice(2);
const seen = [];

function verifies(secret, body, headers) {
  try {
    new Webhook(secret).verify(body, headers);
    return true;
  } catch {
    return false;
  }
}

let mended = false;

// Status, headers and body of the answer to the newest request.
function answer({ path, headers }) {
  const before = seen.filter((one) => one.path === path);
  const same = before.filter((one) => one.headers["webhook-id"] === headers["webhook-id"]);
  if (path === "/flaky" && before.length === 1) return [503, { "retry-after": "1" }, "not now"];
  if (path === "/broken" || (path === "/switch" && !mended)) return [500, {}, "out of order"];
  if (path === "/twice" && same.length <= 2) return [500, {}, "again, please"];
  if (path === "/gone") return [410, {}, ""];
  if (path === "/redirect") return [307, { location: "/inner" }, ""];
  return [path === "/ok" ? 204 : 200, {}, ""];
}

const server = createServer(async (request, response) => {
  const path = new URL(request.url, "http://receiver").pathname;
  if (path === "/seen") return response.end(JSON.stringify(seen));
  if (path === "/mend") return response.end(String((mended = true)));
  const parts = [];
  for await (const part of request) parts.push(part);
  const [body, headers] = [Buffer.concat(parts).toString(), request.headers];
  const verified = secrets.map((secret) => verifies(secret, body, headers));
  const one = { at: Date.now(), path, headers, body, verified };
  seen.push(one);
  const [status, more, text] = answer(one);
  one.status = status;
  return response.writeHead(status, more).end(text || undefined);
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
