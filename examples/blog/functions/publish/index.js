// Publishes a post as the caller: `{id}` of a draft, or `{title, body}` of a new post.
//
// `ctx.db` acts for the caller, so the rules of `posts` decide what happens here as well.

export default async function (ctx) {
  const { id, title, body } = ctx.input;
  const now = { status: 'published', published_at: new Date().toISOString() };

  if (id === undefined) {
    if (typeof title !== 'string' || typeof body !== 'string') {
      throw ctx.error('invalid_input', 'either id, or title and body are needed', { status: 400 });
    }
    const post = await ctx.db.create('posts', { title, body, slug: slugOf(title), author: ctx.auth.id, ...now });
    return ctx.respond({ status: 201, body: { id: post.id, slug: post.slug, status: post.status } });
  }

  const draft = await ctx.db.get('posts', id);
  if (draft === null) throw ctx.error('post_not_found', 'there is no such post', { status: 404 });
  if (draft.status === 'published') {
    throw ctx.error('already_published', 'the post is published already', {
      status: 409,
      details: { published_at: draft.published_at },
    });
  }
  const post = await ctx.db.update('posts', id, now);
  ctx.log.info('published', post.id);
  return { id: post.id, slug: post.slug, status: post.status };
}

function slugOf(title) {
  const words = title.toLowerCase().normalize('NFKD').replace(/[^a-z0-9\s-]/g, '').match(/[a-z0-9]+/g);
  return words?.join('-') ?? 'post';
}
