// Drives Chromium with a virtual authenticator (DevTools protocol, domain WebAuthn) through the example
// of docs/auth.md, on a page of the server, and prints what came of it.
// Arguments: browser, URL of the server, text of the example, password.
import { chromium } from 'playwright-core';

const [program, url, example, password] = process.argv.slice(1);
const patience = 120_000;
const browser = await chromium.launch({
  executablePath: program,
  args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
  timeout: patience,
});
try {
  // The page has no script of its own and forbids any; ours comes by the protocol.
  const context = await browser.newContext({ bypassCSP: true });
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  await page.goto(`${url}/auth/verify`);
  const devtools = await context.newCDPSession(page);
  await devtools.send('WebAuthn.enable');
  const { authenticatorId } = await devtools.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true,
      isUserVerified: true, automaticPresenceSimulation: true,
    },
  });
  await page.addScriptTag({ content: example });
  const seen = await page.evaluate(async (password) => {
    const email = 'ada@example.org';
    const { access_token } = await call('POST', 'register', { email, password });
    const added = await addPasskey({ current_password: password }, 'Laptop', access_token);
    const signedIn = await signInWithPasskey();
    const question = await call('POST', 'login', { email, password });
    const second = await showSecondFactor(question.mfa_token);
    const twice = await addPasskey({ recovery_code: added.recovery_codes[0] }, 'Again', access_token)
      .then(() => 'added', (error) => error.name);
    return {
      id: added.passkey.id,
      token: signedIn.access_token,
      recovery_codes: added.recovery_codes.length,
      signed_in: signedIn.user.email,
      methods: question.methods,
      second_factor: second.user.email,
      twice,
    };
  }, password);
  seen.by_cookie = await page.evaluate(async () => {
    cookies = true;
    await signInWithPasskey();
    const answer = await fetch('/api/auth/me');
    cookies = false;
    return (await answer.json()).email;
  });
  await devtools.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: false });
  seen.unverified = await page.evaluate(() => signInWithPasskey().then(() => 'in', (error) => error.name));
  await devtools.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: true });
  [seen.deleted, seen.after] = await page.evaluate(async ([id, token]) => {
    const deleted = await deletePasskey(id, token);
    const after = await signInWithPasskey().then(() => 'in', (error) => error.message);
    return [deleted, after];
  }, [seen.id, seen.token]);
  delete seen.token;
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
}
