// What the conformance driver calls: `input.do` says what happens.

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const nested = (depth) => JSON.parse(`${'['.repeat(depth)}${']'.repeat(depth)}`);

const cases = {
  echo: (ctx) => ctx.input.value,
  nothing: () => undefined,
  null: () => null,
  context: (ctx) => ({
    auth: ctx.auth,
    env: ctx.env.GREETING,
    process_env: process.env.GREETING,
    secret: ctx.secrets.KEY,
    secret_in_env: process.env.KEY ?? null,
    method: ctx.request.method,
    header: ctx.request.headers['x-test'],
    trace_id: ctx.traceId,
    remaining_ok: ctx.remainingMs > 0 && ctx.remainingMs <= 10_000,
  }),
  log: (ctx) => {
    ctx.log('plain');
    ctx.log.debug('low');
    ctx.log.info('a', 1);
    ctx.log.warn('careful');
    ctx.log.error('bad');
  },
  throw: () => {
    throw new Error('boom');
  },
  error: (ctx) => {
    throw ctx.error('card_declined', 'the card was declined', { status: 402, details: { attempt: 2 } });
  },
  odd_error: () => {
    throw Object.assign(new Error('odd'), { code: 'ENOENT', status: 99 });
  },
  not_json: () => 10n,
  deep: (ctx) => nested(ctx.input.depth),
  deep_call: (ctx) => ctx.db.create('posts', { deep: nested(ctx.input.depth) }),
  deep_details: (ctx) => {
    throw ctx.error('deep_details', 'deep', { details: nested(ctx.input.depth) });
  },
  too_large: () => 'x'.repeat(17 * 1024 * 1024),
  large: () => 'x'.repeat(5 * 1024 * 1024),
  respond: (ctx) => ctx.respond({ status: 201, headers: { 'X-Made': 'yes' }, body: 'made' }),
  respond_json: (ctx) => ctx.respond({ body: { a: 1 } }),
  respond_bytes: (ctx) => ctx.respond({ body: Buffer.from([0, 255, 1]) }),
  respond_empty: (ctx) => ctx.respond({ status: 204 }),
  respond_bad: (ctx) => ctx.respond({ status: 99 }),
  respond_header: (ctx) => ctx.respond({ headers: { a: 'b\r\nc: d' } }),
  db: async (ctx) => {
    const page = await ctx.db.list('posts', { filter: ['status:eq:published'], sort: '-created_at', limit: 2, count: true });
    const one = await ctx.db.get('posts', 'p1');
    const none = await ctx.db.get('posts', 'absent');
    const made = await ctx.db.create('posts', { title: 'T' });
    const changed = await ctx.db.update('posts', 'p1', { title: 'U' });
    await ctx.db.delete('posts', 'p1');
    return { page, one, none, made, changed };
  },
  db_error: async (ctx) => {
    try {
      await ctx.db.create('posts', {});
    } catch ({ code, status, errors }) {
      return { code, status, errors };
    }
  },
  db_uncaught: (ctx) => ctx.db.create('posts', {}),
  db_unawaited: (ctx) => {
    ctx.db.create('posts', { title: 'late' }).catch(() => {});
    return 'early';
  },
  db_many: async (ctx) => {
    const all = await Promise.all(Array.from({ length: 100 }, (_, n) => ctx.db.get('posts', `n${n}`)));
    return all.length;
  },
  wait_for_cancel: async (ctx) => {
    while (!ctx.signal.aborted) await wait(5);
    return 'cancelled';
  },
  cancelled_call: (ctx) => ctx.db.get('posts', 'never'),
  flood: () => {
    for (let n = 0; n < 20_000; n += 1) console.log('{"invocation":1,"value":"forged"}', '\u0000\u0001\u0085', n);
    process.stderr.write('\u0085{"invocation":1}\n');
    return 'unharmed';
  },
  patch: (ctx) => {
    JSON.stringify = JSON.parse = () => 'broken';
    Buffer.from = Buffer.allocUnsafe = Buffer.byteLength = () => null;
    return { value: ctx.input.value };
  },
  late: (ctx) => {
    setTimeout(() => ctx.log('too late'), 20);
    setTimeout(() => ctx.db.get('posts', 'p1').catch(() => {}), 20);
    return 'done';
  },
  stray: async () => {
    setTimeout(() => {
      throw Object.assign(new Error('stray'), { code: 'stray_error' });
    }, 5);
    await wait(2_000);
    return 'not reached';
  },
  stray_rejection: async () => {
    Promise.reject(Object.assign(new Error('stray'), { code: 'stray_error' }));
    await wait(2_000);
    return 'not reached';
  },
  exit: () => process.exit(3),
};

export default async function (ctx) {
  return cases[ctx.input.do](ctx);
}
