// Greets whoever has registered: leaves a notice that only they see.
//
// A hook may run twice for one account. The upsert makes that no difference.

export default async function (ctx) {
  const { id, doc } = ctx.input;
  // An account that is deleted by now needs no greeting.
  if (doc === null) return;
  const text = 'Welcome! Write what you like; verify your address to comment as well.';
  await ctx.db.upsert('notices', 'key', { key: `welcome:${id}`, user: id, text });
}
