"""The same for `async def`: only what differs from `main.py`."""

import asyncio

import main


async def db(ctx):
    page = await ctx.db.list("posts", filter="status:eq:published", sort=["-created_at"], limit=2, count=True)
    one = await ctx.db.get("posts", "p1")
    none = await ctx.db.get("posts", "absent")
    made = await ctx.db.create("posts", {"title": "T"})
    changed = await ctx.db.update("posts", "p1", {"title": "U"})
    await ctx.db.delete("posts", "p1")
    return {"page": page, "one": one, "none": none, "made": made, "changed": changed}


async def db_error(ctx):
    try:
        await ctx.db.create("posts", {})
    except main.Error as failure:
        return {"code": failure.code, "status": failure.status, "errors": failure.errors}


async def db_uncaught(ctx):
    return await ctx.db.create("posts", {})


async def deep_call(ctx):
    return await ctx.db.create("posts", {"deep": main.nested(ctx.input["depth"])})


async def db_unawaited(ctx):
    ctx.db.create("posts", {"title": "late"})
    return "early"


async def db_many(ctx):
    return len(await asyncio.gather(*(ctx.db.get("posts", f"n{n}") for n in range(100))))


async def wait_for_cancel(ctx):
    try:
        await asyncio.sleep(5)
    except asyncio.CancelledError:
        return "cancelled" if ctx.cancelled else "not cancelled"


async def cancelled_call(ctx):
    return await ctx.db.get("posts", "never")


async def late(ctx):
    async def later():
        await asyncio.sleep(0.02)
        ctx.log("too late")
        try:
            await ctx.db.get("posts", "p1")
        except main.Error:
            pass

    asyncio.ensure_future(later())
    return "done"


async def handler(ctx):
    name = ctx.input["do"]
    own = globals().get(name)
    if own is not None:
        return await own(ctx)
    return main.handler(ctx)
