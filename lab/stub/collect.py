"""Collects the whole response of an ASGI application."""


async def collect(inner, scope, receive):
    """Returns the status and the body."""
    response = {"body": b""}

    async def keep(message):
        if message["type"] == "http.response.start":
            response["status"] = message["status"]
        elif message["type"] == "http.response.body":
            response["body"] += message.get("body", b"")
    await inner(scope, receive, keep)
    return response["status"], response["body"]
