"""`files/*`: the files of a session's home, which outlive its sandbox. For `upload` and `download` the daemon reads and
writes local files; `read` and `write` are about bytes in memory."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from typing import Any

from .._params import given
from ..protocol import (
    FileEntry,
    FileListResponse,
    FilePathResponse,
    FileReadResponse,
    FileTransferResponse,
    FileWriteResponse,
)
from .group import AsyncGroup
from .stream import AsyncTransfer


PIECE_BYTES = 1024 * 1024
"""The bytes of one piece of a file; the daemon takes no more."""


class AsyncFiles(AsyncGroup):
    """Paths are below the session's home. Where `session_id` is left out, the isolation's current session is meant."""

    async def read(self, path: str, *, session_id: str | None = None, allow_shared_session: bool = False) -> bytes:
        """All bytes of a file, and all of one version of it. No local file is involved.

        >>> text = await client.invoke("remember the milk").text()
        >>> await client.files.read("notes.txt")
        b'the milk\\n'
        """
        pieces = []
        read_id: str | None = None
        while True:
            piece: FileReadResponse = await self._call(
                "files/read",
                path=path,
                keep_open=True,
                read_id=read_id,
                session_id=session_id,
                allow_shared_session=allow_shared_session,
            )
            pieces.append(base64.b64decode(piece["content"]))
            if piece["isLast"]:
                return b"".join(pieces)
            read_id = piece["readId"]
            # The current session may become another one meanwhile.
            session_id = piece["sessionId"]

    async def write(
        self, path: str, content: bytes, *, session_id: str | None = None, allow_shared_session: bool = False
    ) -> FileWriteResponse:
        """Puts bytes into a file of the home. What is there is replaced, once all bytes are with the daemon. No local
        file is involved.

        >>> session = await client.sessions.create()
        >>> (await client.files.write("data/plan.json", b"{}"))["bytes"]
        2
        """
        write_id: str | None = None
        for offset in range(0, max(len(content), 1), PIECE_BYTES):
            end = offset + PIECE_BYTES
            fields = given(write_id=write_id, session_id=session_id, allow_shared_session=allow_shared_session)
            answer: FileWriteResponse = await self._line.call(
                "files/write",
                {
                    **self._scope.params(),
                    **fields,
                    "path": path,
                    "content": base64.b64encode(content[offset:end]).decode("ascii"),
                    "isLast": end >= len(content),
                    "offset": offset,
                },
            )
            write_id = answer.get("writeId")
            session_id = answer["sessionId"]
        return answer

    async def upload(
        self,
        local_path: str | os.PathLike[str],
        path: str | None = None,
        *,
        recursive: bool = False,
        session_id: str | None = None,
        allow_shared_session: bool = False,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> FileTransferResponse:
        """Puts a local file into the home, under its own name unless `path` is given. What is there is replaced.
        With `recursive` it may be a directory: the result's `tree` says what came of it, also what failed. `progress` is
        called with the bytes so far, and all of them if known.

        >>> session = await client.sessions.create()
        >>> with open("plan.json", "w") as file:
        ...     written = file.write("{}")
        >>> (await client.files.upload("plan.json", "data/plan.json"))["bytes"]
        2
        >>> import os
        >>> os.makedirs("results", exist_ok=True)
        >>> (await client.files.upload("results", recursive=True))["tree"]
        {'files': 0, 'directories': 1}
        """
        fields = given(
            local_path=os.path.abspath(local_path),
            path=path,
            recursive=recursive,
            session_id=session_id,
            allow_shared_session=allow_shared_session,
        )
        return await self._transfer("files/upload", fields, progress)

    async def download(
        self,
        path: str,
        local_path: str | os.PathLike[str] | None = None,
        *,
        recursive: bool = False,
        session_id: str | None = None,
        allow_shared_session: bool = False,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> FileTransferResponse:
        """Copies a file of the home to a local one: the same name in the working directory unless `local_path` is given.
        An existing one is replaced as a whole when the last byte is there. With `recursive` it may be a directory, whose
        files go beside what is there.

        >>> text = await client.invoke("remember the milk").text()
        >>> result = await client.files.download("notes.txt", "copy.txt")
        >>> with open("copy.txt") as file:
        ...     print(cupola.harmless(file.read()), end="")
        the milk
        """
        local_path = os.path.abspath(local_path or os.path.basename(path.rstrip("/")))
        fields = given(
            path=path,
            local_path=local_path,
            recursive=recursive,
            session_id=session_id,
            allow_shared_session=allow_shared_session,
        )
        return await self._transfer("files/download", fields, progress)

    async def list(
        self, path: str | None = None, *, session_id: str | None = None, allow_shared_session: bool = False
    ) -> FileListResponse:
        """What is directly in a directory; the home when `path` is left out.

        >>> text = await client.invoke("remember the milk").text()
        >>> [entry["name"] for entry in (await client.files.list())["entries"]]
        ['notes.txt']
        """
        result: FileListResponse = await self._call(
            "files/list", path=path, session_id=session_id, allow_shared_session=allow_shared_session
        )
        return result

    async def stat(self, path: str, *, session_id: str | None = None, allow_shared_session: bool = False) -> FileEntry:
        """One file or directory.

        >>> text = await client.invoke("remember the milk").text()
        >>> (await client.files.stat("notes.txt"))["size"]
        9
        """
        result: FileEntry = await self._call(
            "files/stat", path=path, session_id=session_id, allow_shared_session=allow_shared_session
        )
        return result

    async def mkdir(
        self, path: str, *, session_id: str | None = None, allow_shared_session: bool = False
    ) -> FilePathResponse:
        """Creates a directory and its parents. Not every service offers it: then the error is `notOffered`.

        >>> session = await client.sessions.create()
        >>> (await client.files.mkdir("data/in"))["path"]
        'data/in'
        """
        result: FilePathResponse = await self._call(
            "files/mkdir", path=path, session_id=session_id, allow_shared_session=allow_shared_session
        )
        return result

    async def delete(
        self, path: str, *, recursive: bool = False, session_id: str | None = None, allow_shared_session: bool = False
    ) -> FilePathResponse:
        """Deletes a file or an empty directory; with `recursive` a directory and all that is in it.

        >>> text = await client.invoke("remember the milk").text()
        >>> (await client.files.delete("notes.txt"))["path"]
        'notes.txt'
        """
        result: FilePathResponse = await self._call(
            "files/delete",
            path=path,
            recursive=recursive,
            session_id=session_id,
            allow_shared_session=allow_shared_session,
        )
        return result

    async def _transfer(
        self, method: str, fields: dict[str, Any], progress: Callable[[int, int | None], None] | None
    ) -> FileTransferResponse:
        async with AsyncTransfer(self._line, method, {**self._scope.params(), **fields}) as transfer:
            async for event in transfer:
                if progress is not None and event["type"] == "progress":
                    progress(event["bytes"], event.get("totalBytes"))
        return transfer.result
