// Runs the examples of docs/realtime.md for browsers in Chromium, on a page of the server, and prints what
// they knew after each change.
// Arguments: browser, URL of the server, the examples for a WebSocket and for events, password.
import { chromium } from 'playwright-core';

const [program, url, socketExample, eventsExample, password] = process.argv.slice(1);
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
  const token = await page.evaluate(async (password) => {
    const call = (path, headers) => fetch(path, {
      method: 'POST', headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ email: 'ada@example.org', password }),
    });
    const answer = await (await call('/api/auth/register')).json();
    // The page itself is known by cookies, as EventSource has nothing else to show.
    await call('/api/auth/login', { 'x-alyx-session': 'cookie' });
    window.owner = answer.user.id;
    return answer.access_token;
  }, password);
  await page.addScriptTag({ content: `const token = ${JSON.stringify(token)};\n${socketExample}` });
  await page.addScriptTag({ content: eventsExample });
  const seen = await page.evaluate(async (token) => {
    const change = async (method, path, body) => {
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
      const answer = await fetch(`/api/collections/notes${path}`, { method, headers, body: body && JSON.stringify(body) });
      return answer.status === 204 ? null : answer.json();
    };
    const texts = (docs) => docs?.map((doc) => doc.text).join(' ');
    const steps = [];
    const both = async (expected) => {
      const known = () => [texts(views.new), texts(shown)];
      while (known().some((text) => text !== expected)) await new Promise((done) => setTimeout(done, 20));
      steps.push(expected);
    };
    await both('');
    const one = await change('POST', '', { text: 'one', owner });
    await both('one');
    await change('POST', '', { text: 'Grüße 🦊', owner });
    await both('Grüße 🦊 one');
    await change('PATCH', `/${one.id}`, { text: 'eins' });
    await both('Grüße 🦊 eins');
    await change('DELETE', `/${one.id}`);
    await both('Grüße 🦊');
    return { steps, protocol: socket.protocol };
  }, token);
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
}
