"""What an application of ASGI answers, whole."""


async def collected(inner, scope, receive):
    got = {"body": b""}

    async def keep(message):
        if message["type"] == "http.response.start":
            got["status"] = message["status"]
        elif message["type"] == "http.response.body":
            got["body"] += message.get("body", b"")
    await inner(scope, receive, keep)
    return got["status"], got["body"]
