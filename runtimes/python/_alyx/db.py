"""`ctx.db`: the documents API of the caller, asked over the link.

The daemon checks the rules; here arguments only take the shape that `runtimes/README.md` lists.
"""


class Events:
    """`ctx.events`: awaited in an async handler."""

    def __init__(self, call):
        self._call = call

    def publish(self, name, payload=None):
        """Tells `payload`, any JSON, to whoever listens to the event: `{"id", "name", "at"}`."""
        return self._call("events.publish", {"name": name, "payload": payload})


class Db:
    """For `def handler(ctx)`: every method blocks until the daemon has answered."""

    def __init__(self, invoke, transaction=None):
        self._invoke = invoke
        self._transaction = transaction

    def _call(self, op, args):
        return self._invoke(op, args, self._transaction)

    @property
    def events(self):
        """What is published through `tx.events` goes out with the commit, or not at all."""
        return Events(self._call)

    def list(self, collection, **query):
        """One page of documents: `{"docs", "limit", "next_cursor"?, "total"?, "snippets"?}`."""
        return self._call("db.list", {"collection": collection, "query": _query(query)})

    def get(self, collection, id, *, versioned=False, **query):
        """The document, or None where there is none or the caller may not see it."""
        try:
            return self._call("db.get", _get(collection, id, versioned, query))
        except Exception as error:
            return _absent(error)

    def aggregate(self, collection, **query):
        """Counts, sums and the like: `{"groups", "limit", "more"}`."""
        return self._call("db.aggregate", {"collection": collection, "query": _query(query)})

    def create(self, collection, data, **options):
        """The new document as it is stored."""
        return self._call("db.create", _given(options, collection=collection, data=data))

    def upsert(self, collection, field, data, **options):
        """The new document, or the changed one that has the same value in a unique field."""
        return self._call("db.upsert", _given(options, collection=collection, field=field, data=data))

    def update(self, collection, id, data, **options):
        """The changed document as it is stored."""
        return self._call("db.update", _given(options, collection=collection, id=id, data=data))

    def replace(self, collection, id, data, **options):
        """The document that took the place of the old one."""
        return self._call("db.replace", _given(options, collection=collection, id=id, data=data))

    def delete(self, collection, id, **options):
        self._call("db.delete", _given(options, collection=collection, id=id))

    def update_many(self, collection, data, **query):
        """Changes what the query selects, all or none: `{"count", "more", "dry_run"}`."""
        args = {"collection": collection, "query": _query(query), "data": data}
        return self._call("db.update_many", args)

    def delete_many(self, collection, **query):
        """Deletes what the query selects, all or none: `{"count", "more", "dry_run"}`."""
        return self._call("db.delete_many", {"collection": collection, "query": _query(query)})

    def batch(self, operations, **options):
        """Several writes, all or none: `{"results": [{"status", "id", "etag", "doc"}]}`."""
        return self._call("db.batch", _given(options, operations=operations))

    def transaction(self, work=None):
        """`with ctx.db.transaction() as tx:`, or `ctx.db.transaction(work)`, which gives what `work(tx)`
        returns. Committed at the end, undone by an exception. `tx` is a `ctx.db` of its own."""
        if work is None:
            return Transaction(self)
        with Transaction(self) as tx:
            return work(tx)


class AsyncDb(Db):
    """For `async def handler(ctx)`: the same methods, awaited."""

    async def get(self, collection, id, *, versioned=False, **query):
        try:
            return await self._call("db.get", _get(collection, id, versioned, query))
        except Exception as error:
            return _absent(error)

    async def delete(self, collection, id, **options):
        await self._call("db.delete", _given(options, collection=collection, id=id))

    def transaction(self, work=None):
        """`async with ctx.db.transaction() as tx:`, or `await ctx.db.transaction(work)`."""
        opened = AsyncTransaction(self)
        return opened if work is None else opened.run(work)


class Transaction:
    """One transaction of a sync handler."""

    def __init__(self, db):
        self._db = db
        self._tx = None

    def __enter__(self):
        db = self._db
        self._tx = type(db)(db._invoke, db._call("db.begin", {})["transaction"])
        return self._tx

    def __exit__(self, kind, error, trace):
        if kind is None:
            self._tx._call("db.commit", {})
            return
        try:
            self._tx._call("db.rollback", {})
        except Exception:  # noqa: S110 - where it is over already there is nothing left to undo
            pass


class AsyncTransaction:
    """One transaction of an async handler."""

    def __init__(self, db):
        self._db = db
        self._tx = None

    async def __aenter__(self):
        db = self._db
        begun = await db._call("db.begin", {})
        self._tx = type(db)(db._invoke, begun["transaction"])
        return self._tx

    async def __aexit__(self, kind, error, trace):
        if kind is None:
            await self._tx._call("db.commit", {})
            return
        try:
            await self._tx._call("db.rollback", {})
        except Exception:  # noqa: S110 - where it is over already there is nothing left to undo
            pass

    async def run(self, work):
        async with self as tx:
            value = work(tx)
            return await value if hasattr(value, "__await__") else value


def _given(options, **args):
    args.update((name, value) for name, value in options.items() if value is not None)
    return args


def _get(collection, id, versioned, query):
    args = {"collection": collection, "id": id}
    if query:
        args["query"] = _query(query)
    if versioned:
        args["versioned"] = True
    return args


def _query(given):
    """Lists may be given as one text or as a sequence; on the wire `filter` is a list, the others text."""
    query = {}
    for name, value in given.items():
        if value is None:
            continue
        if name == "filter":
            value = [value] if isinstance(value, str) else value
        elif isinstance(value, (list, tuple)):
            value = ",".join(value)
        query[name] = value
    return query


def _absent(error):
    if getattr(error, "code", None) == "document_not_found":
        return None
    raise error
