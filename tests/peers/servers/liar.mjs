// A provider that answers whatever it is told to: for id tokens that do not hold, as GitHub, as Google.
//
//   node liar.mjs
//
// Prints its issuer once it listens. `POST /lie` with a JSON object sets what is wrong from then on:
//
//   claims      replace claims of the id token; null takes one away
//   sign        "other-key" | "none" | "hs256" | "embedded" | "unknown-kid" | "rs256"
//   metadata    replace members of the metadata
//   github      { id, emails: [...] }
//   token       a status for the token endpoint; with "hang" it never answers
//
// `GET /seen` lists what the token endpoint was sent.

import { createServer } from "node:http";
import { createHash, createHmac, randomUUID } from "node:crypto";
import { SignJWT, exportJWK, generateKeyPair } from "jose";

const [ours, other] = [await generateKeyPair("ES256"), await generateKeyPair("ES256")];
const published = { ...(await exportJWK(ours.publicKey)), kid: "one", alg: "ES256", use: "sig" };
// As Google signs.
const rsa = await generateKeyPair("RS256");
const rsaPublished = { ...(await exportJWK(rsa.publicKey)), kid: "three", alg: "RS256", use: "sig" };
let lie = {};
const flows = new Map();
const seen = [];
const base64 = (value) => Buffer.from(value).toString("base64url");

async function idToken(issuer, flow, accessToken) {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: issuer, sub: "liar-1", aud: "alyx", exp: now + 300, iat: now, nonce: flow.nonce,
    email: "liar@example.org", email_verified: true,
    at_hash: base64(createHash("sha256").update(accessToken).digest().subarray(0, 16)),
    ...lie.claims,
  };
  for (const name of Object.keys(claims)) if (claims[name] === null) delete claims[name];
  const plain = (header) => `${base64(JSON.stringify(header))}.${base64(JSON.stringify(claims))}`;
  switch (lie.sign) {
    case "none":
      return `${plain({ alg: "none" })}.`;
    case "hs256": {
      // Algorithm confusion: the public key as if it were a shared secret.
      const text = plain({ alg: "HS256", kid: "one" });
      return `${text}.${base64(createHmac("sha256", JSON.stringify(published)).update(text).digest())}`;
    }
    case "embedded": {
      const jwk = await exportJWK(other.publicKey);
      return new SignJWT(claims).setProtectedHeader({ alg: "ES256", jwk }).sign(other.privateKey);
    }
    case "unknown-kid":
      return new SignJWT(claims).setProtectedHeader({ alg: "ES256", kid: "two" }).sign(other.privateKey);
    case "rs256":
      return new SignJWT(claims).setProtectedHeader({ alg: "RS256", kid: "three" }).sign(rsa.privateKey);
    case "other-key":
      return new SignJWT(claims).setProtectedHeader({ alg: "ES256", kid: "one" }).sign(other.privateKey);
    default:
      return new SignJWT(claims).setProtectedHeader({ alg: "ES256", kid: "one" }).sign(ours.privateKey);
  }
}

const body = async (request) => {
  let text = "";
  for await (const part of request) text += part;
  return text;
};

const server = createServer(async (request, response) => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const url = new URL(request.url, issuer);
  const json = (value, status = 200) => {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify(value));
  };
  const authorize = () => {
    const code = randomUUID();
    flows.set(code, Object.fromEntries(url.searchParams));
    const back = new URL(url.searchParams.get("redirect_uri"));
    back.searchParams.set("code", code);
    back.searchParams.set("state", url.searchParams.get("state"));
    if (lie.iss !== undefined) back.searchParams.set("iss", lie.iss);
    response.writeHead(302, { location: back.href });
    response.end();
  };
  const token = async () => {
    const form = Object.fromEntries(new URLSearchParams(await body(request)));
    seen.push({ ...form, authorization: request.headers.authorization });
    if (lie.token === "hang") return;
    if (lie.token) return json({ error: "server_error" }, lie.token);
    const flow = flows.get(form.code);
    flows.delete(form.code);
    const challenge = base64(createHash("sha256").update(form.code_verifier ?? "").digest());
    if (!flow || flow.code_challenge !== challenge) return json({ error: "invalid_grant" }, 400);
    const access_token = randomUUID();
    json({ access_token, token_type: "bearer", id_token: await idToken(issuer, flow, access_token) });
  };
  switch (url.pathname) {
    case "/lie":
      lie = JSON.parse(await body(request));
      return json({});
    case "/seen":
      return json(seen);
    case "/.well-known/openid-configuration":
      return json({
        issuer, authorization_endpoint: `${issuer}/authorize`, token_endpoint: `${issuer}/token`,
        jwks_uri: `${issuer}/jwks`, ...lie.metadata,
      });
    case "/jwks":
      return json({ keys: [published, rsaPublished] });
    case "/authorize":
    case "/login/oauth/authorize":
      return authorize();
    case "/token":
    case "/login/oauth/access_token":
      return token();
    case "/api/v3/user":
      return json({ id: lie.github.id, login: "whoever" });
    case "/api/v3/user/emails":
      return json(lie.github.emails);
    default:
      return json({ error: "not found" }, 404);
  }
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
