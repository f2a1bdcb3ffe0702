def handler(ctx):
    name = (ctx.input or {}).get("name", "world")
    return {"hello": name, "from": "python"}
