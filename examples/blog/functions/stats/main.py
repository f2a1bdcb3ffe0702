"""Counts the posts that the caller may see, by status and by author."""

PAGE = 500


def handler(ctx):
    by_status = {}
    by_author = {}
    for post in every_post(ctx):
        author, status = post["author"], post["status"]
        by_status[status] = by_status.get(status, 0) + 1
        by_author[author] = by_author.get(author, 0) + 1
    authors = sorted(by_author.items(), key=lambda entry: (-entry[1], entry[0]))
    return {
        "posts": sum(by_status.values()),
        "by_status": dict(sorted(by_status.items())),
        "by_author": [{"author": author, "posts": count} for author, count in authors],
    }


def every_post(ctx):
    """All pages, one after the other. The cursor stays right while others write."""
    cursor = None
    while True:
        page = ctx.db.list("posts", fields=["id", "author", "status"], limit=PAGE, cursor=cursor)
        yield from page["docs"]
        cursor = page.get("next_cursor")
        if cursor is None:
            return
