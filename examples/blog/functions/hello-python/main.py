def handler(ctx):
    return {"hello": ctx.input.get("name", "world"), "from": "python"}
