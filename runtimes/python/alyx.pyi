from typing import Any, Mapping, Optional, Sequence, TypedDict, Union

Json = Any

class Error(Exception):
    code: str
    status: Optional[int]
    details: Json
    errors: Optional[Sequence[Mapping[str, str]]]
    hint: Optional[str]
    def __init__(
        self,
        code: str,
        message: str = "",
        *,
        status: Optional[int] = None,
        details: Json = None,
        errors: Optional[Sequence[Mapping[str, str]]] = None,
        hint: Optional[str] = None,
    ) -> None: ...

class Auth:
    id: Optional[str]
    email: Optional[str]
    role: Optional[str]
    verified: bool

class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    ip: str

class Page(TypedDict, total=False):
    docs: list[dict[str, Json]]
    limit: int
    next_cursor: str
    total: int

class Db:
    def list(
        self,
        collection: str,
        *,
        filter: Union[str, Sequence[str], None] = None,
        sort: Union[str, Sequence[str], None] = None,
        limit: Optional[int] = None,
        offset: Optional[int] = None,
        cursor: Optional[str] = None,
        count: Optional[bool] = None,
        fields: Union[str, Sequence[str], None] = None,
    ) -> Page: ...
    def get(self, collection: str, id: str) -> Optional[dict[str, Json]]: ...
    def create(self, collection: str, data: Mapping[str, Json]) -> dict[str, Json]: ...
    def update(self, collection: str, id: str, data: Mapping[str, Json]) -> dict[str, Json]: ...
    def delete(self, collection: str, id: str) -> None: ...

class AsyncDb:
    async def list(
        self,
        collection: str,
        *,
        filter: Union[str, Sequence[str], None] = None,
        sort: Union[str, Sequence[str], None] = None,
        limit: Optional[int] = None,
        offset: Optional[int] = None,
        cursor: Optional[str] = None,
        count: Optional[bool] = None,
        fields: Union[str, Sequence[str], None] = None,
    ) -> Page: ...
    async def get(self, collection: str, id: str) -> Optional[dict[str, Json]]: ...
    async def create(self, collection: str, data: Mapping[str, Json]) -> dict[str, Json]: ...
    async def update(self, collection: str, id: str, data: Mapping[str, Json]) -> dict[str, Json]: ...
    async def delete(self, collection: str, id: str) -> None: ...

class Log:
    def __call__(self, *parts: object) -> None: ...
    def debug(self, *parts: object) -> None: ...
    def info(self, *parts: object) -> None: ...
    def warn(self, *parts: object) -> None: ...
    def warning(self, *parts: object) -> None: ...
    def error(self, *parts: object) -> None: ...

class Response: ...

class _BaseContext:
    input: Json
    auth: Auth
    request: Request
    env: Mapping[str, str]
    secrets: Mapping[str, str]
    trace_id: str
    log: Log
    deadline: float
    @property
    def cancelled(self) -> bool: ...
    @property
    def remaining(self) -> float: ...
    def respond(
        self,
        *,
        status: int = 200,
        headers: Optional[Mapping[str, str]] = None,
        body: Union[str, bytes, bytearray, memoryview, Json, None] = None,
    ) -> Response: ...

class Context(_BaseContext):
    """What `def handler(ctx)` gets: `ctx.db` blocks."""

    db: Db

class AsyncContext(_BaseContext):
    """What `async def handler(ctx)` gets: the methods of `ctx.db` are awaited."""

    db: AsyncDb
