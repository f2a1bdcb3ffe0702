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
//
// `GET /seen` lists what came: { path, headers, body, verified } where `verified` has one entry a secret.

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

function answer(path, response) {
  const before = seen.filter((one) => one.path === path).length;
  if (path === "/flaky" && before === 1) return response.writeHead(503, { "retry-after": "1" }).end("not now");
  if (path === "/broken") return response.writeHead(500).end("out of order");
  if (path === "/gone") return response.writeHead(410).end();
  if (path === "/redirect") return response.writeHead(307, { location: "/inner" }).end();
  return response.writeHead(path === "/ok" ? 204 : 200).end();
}

const server = createServer(async (request, response) => {
  const path = new URL(request.url, "http://receiver").pathname;
  if (path === "/seen") return response.end(JSON.stringify(seen));
  const parts = [];
  for await (const part of request) parts.push(part);
  const [body, headers] = [Buffer.concat(parts).toString(), request.headers];
  seen.push({ path, headers, body, verified: secrets.map((secret) => verifies(secret, body, headers)) });
  return answer(path, response);
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
