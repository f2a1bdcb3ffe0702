from typing import (
    Any,
    AsyncContextManager,
    Awaitable,
    Callable,
    ContextManager,
    Mapping,
    Optional,
    Sequence,
    TypedDict,
    TypeVar,
    Union,
    overload,
)

T = TypeVar("T")

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
    snippets: list[Json]

class Groups(TypedDict):
    groups: list[dict[str, Json]]
    limit: int
    more: bool

class BulkResult(TypedDict):
    count: int
    more: bool
    dry_run: bool

class BatchResult(TypedDict):
    results: list[dict[str, Json]]

class Published(TypedDict):
    id: str
    name: str
    at: str

class Events:
    def publish(self, name: str, payload: Json = None) -> Published: ...

class AsyncEvents:
    async def publish(self, name: str, payload: Json = None) -> Published: ...

class Db:
    @property
    def events(self) -> Events: ...
    def list(
        self,
        collection: str,
        *,
        filter: Union[str, Sequence[str], None] = None,
        where: Optional[Mapping[str, Json]] = None,
        search: Optional[str] = None,
        sort: Union[str, Sequence[str], None] = None,
        limit: Optional[int] = None,
        offset: Optional[int] = None,
        page: Optional[int] = None,
        cursor: Optional[str] = None,
        count: Optional[bool] = None,
        fields: Union[str, Sequence[str], None] = None,
        expand: Union[str, Sequence[str], None] = None,
    ) -> Page: ...
    def get(
        self,
        collection: str,
        id: str,
        *,
        fields: Union[str, Sequence[str], None] = None,
        expand: Union[str, Sequence[str], None] = None,
        versioned: bool = False,
    ) -> Optional[dict[str, Json]]: ...
    def aggregate(
        self,
        collection: str,
        *,
        filter: Union[str, Sequence[str], None] = None,
        where: Optional[Mapping[str, Json]] = None,
        search: Optional[str] = None,
        count: Optional[bool] = None,
        sum: Union[str, Sequence[str], None] = None,
        avg: Union[str, Sequence[str], None] = None,
        min: Union[str, Sequence[str], None] = None,
        max: Union[str, Sequence[str], None] = None,
        group: Union[str, Sequence[str], None] = None,
        limit: Optional[int] = None,
        offset: Optional[int] = None,
        page: Optional[int] = None,
    ) -> Groups: ...
    def create(
        self,
        collection: str,
        data: Mapping[str, Json],
        *,
        idempotency_key: Optional[str] = None,
        versioned: Optional[bool] = None,
    ) -> dict[str, Json]: ...
    def upsert(
        self,
        collection: str,
        field: str,
        data: Mapping[str, Json],
        *,
        idempotency_key: Optional[str] = None,
        versioned: Optional[bool] = None,
    ) -> dict[str, Json]: ...
    def update(
        self,
        collection: str,
        id: str,
        data: Mapping[str, Json],
        *,
        if_match: Optional[str] = None,
        versioned: Optional[bool] = None,
    ) -> dict[str, Json]: ...
    def replace(
        self,
        collection: str,
        id: str,
        data: Mapping[str, Json],
        *,
        if_match: Optional[str] = None,
        if_none_match: Optional[str] = None,
        versioned: Optional[bool] = None,
    ) -> dict[str, Json]: ...
    def delete(self, collection: str, id: str, *, if_match: Optional[str] = None) -> None: ...
    def update_many(
        self,
        collection: str,
        data: Mapping[str, Json],
        *,
        filter: Union[str, Sequence[str], None] = None,
        where: Optional[Mapping[str, Json]] = None,
        search: Optional[str] = None,
        sort: Union[str, Sequence[str], None] = None,
        limit: int,
        dry_run: Optional[bool] = None,
    ) -> BulkResult: ...
    def delete_many(
        self,
        collection: str,
        *,
        filter: Union[str, Sequence[str], None] = None,
        where: Optional[Mapping[str, Json]] = None,
        search: Optional[str] = None,
        sort: Union[str, Sequence[str], None] = None,
        limit: int,
        dry_run: Optional[bool] = None,
    ) -> BulkResult: ...
    def batch(
        self, operations: Sequence[Mapping[str, Json]], *, idempotency_key: Optional[str] = None
    ) -> BatchResult: ...
    @overload
    def transaction(self, work: None = None) -> ContextManager[Db]: ...
    @overload
    def transaction(self, work: Callable[[Db], T]) -> T: ...

class AsyncDb:
    @property
    def events(self) -> AsyncEvents: ...
    async def list(
        self,
        collection: str,
        *,
        filter: Union[str, Sequence[str], None] = None,
        where: Optional[Mapping[str, Json]] = None,
        search: Optional[str] = None,
        sort: Union[str, Sequence[str], None] = None,
        limit: Optional[int] = None,
        offset: Optional[int] = None,
        page: Optional[int] = None,
        cursor: Optional[str] = None,
        count: Optional[bool] = None,
        fields: Union[str, Sequence[str], None] = None,
        expand: Union[str, Sequence[str], None] = None,
    ) -> Page: ...
    async def get(
        self,
        collection: str,
        id: str,
        *,
        fields: Union[str, Sequence[str], None] = None,
        expand: Union[str, Sequence[str], None] = None,
        versioned: bool = False,
    ) -> Optional[dict[str, Json]]: ...
    async def aggregate(
        self,
        collection: str,
        *,
        filter: Union[str, Sequence[str], None] = None,
        where: Optional[Mapping[str, Json]] = None,
        search: Optional[str] = None,
        count: Optional[bool] = None,
        sum: Union[str, Sequence[str], None] = None,
        avg: Union[str, Sequence[str], None] = None,
        min: Union[str, Sequence[str], None] = None,
        max: Union[str, Sequence[str], None] = None,
        group: Union[str, Sequence[str], None] = None,
        limit: Optional[int] = None,
        offset: Optional[int] = None,
        page: Optional[int] = None,
    ) -> Groups: ...
    async def create(
        self,
        collection: str,
        data: Mapping[str, Json],
        *,
        idempotency_key: Optional[str] = None,
        versioned: Optional[bool] = None,
    ) -> dict[str, Json]: ...
    async def upsert(
        self,
        collection: str,
        field: str,
        data: Mapping[str, Json],
        *,
        idempotency_key: Optional[str] = None,
        versioned: Optional[bool] = None,
    ) -> dict[str, Json]: ...
    async def update(
        self,
        collection: str,
        id: str,
        data: Mapping[str, Json],
        *,
        if_match: Optional[str] = None,
        versioned: Optional[bool] = None,
    ) -> dict[str, Json]: ...
    async def replace(
        self,
        collection: str,
        id: str,
        data: Mapping[str, Json],
        *,
        if_match: Optional[str] = None,
        if_none_match: Optional[str] = None,
        versioned: Optional[bool] = None,
    ) -> dict[str, Json]: ...
    async def delete(self, collection: str, id: str, *, if_match: Optional[str] = None) -> None: ...
    async def update_many(
        self,
        collection: str,
        data: Mapping[str, Json],
        *,
        filter: Union[str, Sequence[str], None] = None,
        where: Optional[Mapping[str, Json]] = None,
        search: Optional[str] = None,
        sort: Union[str, Sequence[str], None] = None,
        limit: int,
        dry_run: Optional[bool] = None,
    ) -> BulkResult: ...
    async def delete_many(
        self,
        collection: str,
        *,
        filter: Union[str, Sequence[str], None] = None,
        where: Optional[Mapping[str, Json]] = None,
        search: Optional[str] = None,
        sort: Union[str, Sequence[str], None] = None,
        limit: int,
        dry_run: Optional[bool] = None,
    ) -> BulkResult: ...
    async def batch(
        self, operations: Sequence[Mapping[str, Json]], *, idempotency_key: Optional[str] = None
    ) -> BatchResult: ...
    @overload
    def transaction(self, work: None = None) -> AsyncContextManager[AsyncDb]: ...
    @overload
    def transaction(self, work: Callable[[AsyncDb], Union[T, Awaitable[T]]]) -> Awaitable[T]: ...

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
    events: Events

class AsyncContext(_BaseContext):
    """What `async def handler(ctx)` gets: the methods of `ctx.db` are awaited."""

    db: AsyncDb
    events: AsyncEvents
