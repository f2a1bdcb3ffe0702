// A certified OpenID Connect provider on loopback with one client. Whoever comes is signed in as the
// account that `POST /next?account=NAME` named, or as "ada", and consents.
//
//   node oidc.mjs
//
// Prints the issuer once it listens. `POST /callback?url=URL` tells it where its client is, `POST /rotate`
// gives it new keys. An account is `NAME`, with the
// address NAME@example.org; one that begins with "un" has not verified it.

import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { exportJWK, generateKeyPair } from "jose";
import { Provider } from "oidc-provider";

let callback = "http://127.0.0.1/callback";
const key = async () => {
  const { privateKey } = await generateKeyPair("RS256", { extractable: true });
  return { ...(await exportJWK(privateKey)), alg: "RS256", use: "sig", kid: randomUUID() };
};

let next = "ada";
let provider;
const make = async (issuer) => {
  provider = new Provider(issuer, {
    clients: [
      { client_id: "alyx", client_secret: "a-secret-of-the-client", redirect_uris: [callback] },
    ],
    jwks: { keys: [await key()] },
    claims: { openid: ["sub"], email: ["email", "email_verified"] },
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    features: { devInteractions: { enabled: false } },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.org`, email_verified: !id.startsWith("un") }),
    }),
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  });
};

const server = createServer(async (request, response) => {
  const url = new URL(request.url, "http://x");
  if (url.pathname === "/next") {
    next = url.searchParams.get("account");
    return response.end();
  }
  if (url.pathname === "/callback") callback = url.searchParams.get("url");
  if (url.pathname === "/rotate" || url.pathname === "/callback") {
    await make(`http://127.0.0.1:${server.address().port}`);
    return response.end();
  }
  if (!url.pathname.startsWith("/interaction/")) return provider.callback()(request, response);
  const { prompt, params, grantId, session } = await provider.interactionDetails(request, response);
  if (prompt.name === "login") {
    return provider.interactionFinished(request, response, { login: { accountId: next } });
  }
  const grant = grantId
    ? await provider.Grant.find(grantId)
    : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope("openid email");
  await provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } });
});
server.listen(0, "127.0.0.1", async () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  await make(issuer);
  console.log(issuer);
});
