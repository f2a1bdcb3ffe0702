"""`ctx.db`: the documents API of the caller, asked over the link.

The daemon checks the rules; here arguments only take the shape that `runtimes/README.md` lists.
"""


class Db:
    """For `def handler(ctx)`: every method blocks until the daemon has answered."""

    def __init__(self, call):
        self._call = call

    def list(
        self,
        collection,
        *,
        filter=None,
        sort=None,
        limit=None,
        offset=None,
        cursor=None,
        count=None,
        fields=None,
    ):
        """One page of documents: `{"docs", "limit", "next_cursor"?, "total"?}`."""
        query = {
            "filter": [filter] if isinstance(filter, str) else filter,
            "sort": _text(sort),
            "limit": limit,
            "offset": offset,
            "cursor": cursor,
            "count": count,
            "fields": _text(fields),
        }
        given = {name: value for name, value in query.items() if value is not None}
        return self._call("db.list", {"collection": collection, "query": given})

    def get(self, collection, id):
        """The document, or None where there is none or the caller may not see it."""
        try:
            return self._call("db.get", {"collection": collection, "id": id})
        except Exception as error:
            return _absent(error)

    def create(self, collection, data):
        """The new document as it is stored."""
        return self._call("db.create", {"collection": collection, "data": data})

    def update(self, collection, id, data):
        """The changed document as it is stored."""
        return self._call("db.update", {"collection": collection, "id": id, "data": data})

    def delete(self, collection, id):
        self._call("db.delete", {"collection": collection, "id": id})


class AsyncDb(Db):
    """For `async def handler(ctx)`: the same methods, awaited."""

    async def get(self, collection, id):
        try:
            return await self._call("db.get", {"collection": collection, "id": id})
        except Exception as error:
            return _absent(error)

    async def delete(self, collection, id):
        await self._call("db.delete", {"collection": collection, "id": id})


def _text(value):
    """Lists may be given as one text or as a sequence; on the wire they are text."""
    return value if value is None or isinstance(value, str) else ",".join(value)


def _absent(error):
    if getattr(error, "code", None) == "document_not_found":
        return None
    raise error
