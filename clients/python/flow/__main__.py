"""Tells the story of clients/FLOW.md: python -m flow ADDRESS FLOW.JSON"""

import asyncio
import json
import sys

from grpc import aio

from orderflow import failure

from .line import Line, explained
from .story import Step, Story


async def run(address: str, path: str) -> None:
    with open(path, encoding="utf-8") as file:
        steps: list[Step] = json.load(file)["steps"]
    async with Story(address) as story:
        for step in steps:
            line: Line = {"step": step["step"], "code": "OK"}
            try:
                line["result"] = await story.tell(step)
            except aio.AioRpcError as error:
                line |= explained(failure(error))
            if step["step"] == "idle-watch":
                line.pop("reason", None)
            text = story.masked(json.dumps(line, ensure_ascii=False, separators=(",", ":")))
            sys.stdout.buffer.write(f"{text}\n".encode())
            sys.stdout.flush()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m flow ADDRESS FLOW.JSON")
    asyncio.run(run(sys.argv[1], sys.argv[2]))
