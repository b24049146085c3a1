"""A program that uses the whole of the package, for the type checker alone: it is never run."""

import asyncio

import cupola
from cupola.protocol import InvokeResponse


def blocking() -> InvokeResponse:
    isolation = cupola.Isolation(user_key="acme", model="keys")
    with cupola.connect(target=cupola.emulator(), isolation=isolation, bind=True, methods=["invoke"]) as client:
        with client.invoke("hello", text_only=True) as run:
            for event in run:
                if event["type"] == "textDelta":
                    text: str = event["delta"]
                    print(text)
        sessions: list[str] = [each["agent_session_id"] for each in client.sessions.list(order="asc")["data"]]
        items = [{"type": "message", "role": "user", "content": "hello"}]
        print(client.invoke(items).text().upper(), client.runs.list(all=True)["runs"][0]["runId"].upper())
        print(sessions, client.using(target=cupola.local()).daemon.status()["version"].upper())
        return run.result


async def with_asyncio() -> str:
    async with cupola.AsyncClient(target=cupola.directory("."), socket="v1.sock") as client:
        async with client.monitor(follow=True, tail=10) as log:
            async for event in log:
                if event["type"] == "line":
                    print(event["message"].upper())
        await client.files.upload("a.txt", "data/a.txt")
        return await client.invoke("hello").text()


if __name__ == "__main__":
    blocking()
    asyncio.run(with_asyncio())
