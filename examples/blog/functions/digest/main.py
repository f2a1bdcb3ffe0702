"""Counts what was published and said in the day before, once a night."""

from datetime import datetime, timedelta, timezone


def handler(ctx):
    # Nothing where somebody asks for it by hand.
    at = ctx.input["at"]
    end = datetime.fromisoformat(at.replace("Z", "+00:00")) if at else datetime.now(timezone.utc)
    since = (end - timedelta(days=1)).isoformat().replace("+00:00", "Z")
    posts = count(ctx, "posts", {"status": "published", "published_at": {"$gte": since}})
    comments = count(ctx, "comments", {"created_at": {"$gte": since}})
    # The same night again, after a crash for example, changes its digest instead of making another.
    day = end.date().isoformat()
    ctx.db.upsert("digests", "day", {"day": day, "posts": posts, "comments": comments})


def count(ctx, collection, where):
    return ctx.db.aggregate(collection, where=where, count=True)["groups"][0]["count"]
