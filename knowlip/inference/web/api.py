"""The API: paths, what they take and give, and the files of the page."""

from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Annotated, Any, Final

from knowlip.base.progress import say
from knowlip.inference.web.desk import Desk
from knowlip.inference.web.schema import (
    JOB_PATTERN,
    KEY_PATTERN,
    AnswerGiven,
    ArchiveFacts,
    CaptionGiven,
    DetectionsFound,
    ErrorBody,
    EvidenceAsked,
    ExportRequest,
    JobState,
    MapPoints,
    QuestionAsked,
    SearchRequest,
    SearchResult,
    Task,
    TileFacts,
    TileFilter,
    sentence_of,
)
from knowlip.pages.server import Refused, application

_KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".geojson": "application/geo+json",
    ".csv": "text/csv; charset=utf-8",
    ".parquet": "application/vnd.apache.parquet",
    ".tif": "image/tiff; application=geotiff",
    ".gpkg": "application/geopackage+sqlite3",
}
_REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ErrorBody, "description": what}
    for status, what in (
        (400, "It cannot be done; the sentence says why."),
        (401, "The key is missing or wrong."),
        (403, "A request of another site."),
        (404, "There is no such thing."),
        (408, "It did not come in time."),
        (413, "It is too large."),
        (415, "Another kind of content is wanted."),
        (422, "It is no such request, or the file cannot be read."),
        (503, "Too many requests, or no room: come back after Retry-After."),
    )
}
_PNG: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {"image/png": {}}, "description": "A picture."}}
_RESULTS: Final = (".geojson", ".csv", ".parquet", ".html", ".tif", ".gpkg")
_ANY_FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {_KINDS[one].partition(";")[0]: {} for one in _RESULTS}, "description": "A file."}
}
_UPLOAD: Final = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def make_api(desk: Desk) -> Any:
    """The API and the page as a FastAPI application; :class:`~.gate.Gate` belongs before it.

    Raises:
        ValueError: the extra `serve` is not installed.
    """
    # Functions without `async` run in threads: they wait for the model there.
    app = application(
        desk.config.host,
        title="KnowLIP archive",
        version="1",
        summary="Search an archive of SAR windows, ask about them, and have scenes looked at.",
        openapi_url="/openapi.json",
        responses=_REFUSALS,
    )

    from fastapi.exceptions import RequestValidationError
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response

    async def unfit(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return JSONResponse({"error": sentence_of(error.errors())}, 422)

    async def failed(request: Request, error: Exception) -> Response:
        if isinstance(error, Refused):
            return JSONResponse({"error": str(error)}, error.status, error.headers)
        say(f"  A request could not be answered: {error}")  # it names files of this machine
        return JSONResponse({"error": "The archive could not be read; the server has said why."}, 500)

    app.add_exception_handler(RequestValidationError, unfit)
    app.add_exception_handler(ValueError, failed)
    _add_page(app)
    _add_search(app, desk)
    _add_windows(app, desk)
    _add_jobs(app, desk)
    return app


def _add_page(app: Any) -> None:
    """The files of the page, by their names: nothing is looked up on the disk for a request."""
    from starlette.responses import Response

    folder = files(__package__) / "static"
    held = {one.name: one.read_bytes() for one in folder.iterdir() if _kind(one.name)}
    held["world.json"] = (files("knowlip.pages") / "world.json").read_bytes()

    def static(name: str) -> Response:
        if name not in held:
            raise Refused("There is no such file.", 404)
        return Response(held[name], media_type=_kind(name), headers={"Cache-Control": "no-cache"})

    app.add_api_route("/", lambda: static("index.html"), include_in_schema=False)
    app.add_api_route("/static/{name}", static, include_in_schema=False)


def _kind(name: str) -> str:
    return _KINDS.get("." + name.rpartition(".")[2], "")


def _add_search(app: Any, desk: Desk) -> None:
    from starlette.responses import Response

    @app.get("/api/archive", tags=["archive"])
    def archive() -> ArchiveFacts:
        """What the archive holds, and what this server can do."""
        return desk.facts()

    @app.get("/api/points", tags=["archive"])
    def points() -> MapPoints:
        """Where the windows lie."""
        return desk.archive.points()

    # A search may hold an image: it comes as a body, and so do the filters, in the same words.
    @app.post("/api/points", tags=["archive"])
    def passing(asked: TileFilter) -> MapPoints:
        """Where the windows lie that pass filters."""
        return desk.archive.points(asked)

    @app.post("/api/search", tags=["archive"])
    def search(asked: SearchRequest) -> SearchResult:
        """Windows that are most like a text, an image or both, of those that pass the filters."""
        return desk.archive.search(asked)

    @app.post("/api/export", tags=["archive"], response_class=Response, responses=_ANY_FILE)
    def export(asked: ExportRequest) -> Response:
        """The same as a file: GeoJSON, CSV, GeoParquet, or one page."""
        return _download(desk.archive.export(asked), f"search.{asked.format}")


def _add_windows(app: Any, desk: Desk) -> None:
    from fastapi import Path as InPath
    from starlette.responses import Response

    Key = Annotated[str, InPath(pattern=KEY_PATTERN, description="Of a window.")]

    @app.get("/api/tiles/{key}", tags=["windows"])  # no part of a path ever becomes a file's name
    def tile(key: Key) -> TileFacts:
        """What is known of a window."""
        part, row = desk.archive.place(key)
        return desk.archive.facts(part, row, desk.archive.rows([(part, row)])[0])

    @app.get("/api/tiles/{key}/picture", tags=["windows"], response_class=Response, responses=_PNG)
    def picture(key: Key) -> Response:
        """A window as the model sees it."""
        return Response(desk.picture(key), media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})

    @app.get("/api/tiles/{key}/caption", tags=["windows"])
    def caption(key: Key) -> CaptionGiven:
        """A description of a window."""
        return desk.caption(key)

    @app.post("/api/tiles/{key}/ask", tags=["windows"])
    def ask(key: Key, asked: QuestionAsked) -> AnswerGiven:
        """The answer to a question about a window."""
        return desk.ask(key, asked.question)

    @app.post("/api/tiles/{key}/evidence", tags=["windows"], response_class=Response, responses=_PNG)
    def evidence(key: Key, asked: EvidenceAsked) -> Response:
        """Where in a window the evidence of an answer lies: a picture to lay over it."""
        return Response(desk.evidence(key, asked), media_type="image/png")

    @app.get("/api/tiles/{key}/detections", tags=["windows"])
    def detections(key: Key) -> DetectionsFound:
        """Objects in a window, where the server has a detector."""
        return desk.detections(key)


def _add_jobs(app: Any, desk: Desk) -> None:
    from fastapi import Path as InPath
    from fastapi import Query
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import FileResponse, Response

    JobId = Annotated[str, InPath(pattern=JOB_PATTERN, description="Of an upload.")]

    @app.post("/api/jobs", tags=["uploads"], status_code=202, openapi_extra=_UPLOAD)
    async def upload(
        request: Request,
        task: Task,
        file: Annotated[str, Query(max_length=200, description="Name of the file.")] = "upload",
        question: Annotated[str, Query(max_length=2000, description="Of the task ask.")] = "",
    ) -> JobState:
        """Have a GeoTIFF, or the zip of a SAFE product, looked at: it is the body."""
        if request.headers.get("content-type", "").split(";")[0].strip() != "application/octet-stream":
            raise Refused("Send the file itself as application/octet-stream.", 415)
        job = desk.begin(file, task, question, _length(request))
        try:
            path = await desk.receive(job, _body(request))
            return await run_in_threadpool(desk.start, job, path)
        except BaseException:  # the sender may be gone; nothing of a refused file stays
            await run_in_threadpool(desk.kept().discard, job.id)
            raise

    @app.get("/api/jobs/{job}", tags=["uploads"])
    def state(job: JobId) -> JobState:
        """How far an upload is, and what there is to fetch."""
        return desk.kept().state(job)

    @app.get("/api/jobs/{job}/files/{name}", tags=["uploads"], response_class=Response, responses=_ANY_FILE)
    def result(job: JobId, name: Annotated[str, InPath(max_length=64)]) -> Response:
        """A file of a result."""
        path = desk.kept().file(job, name)
        return FileResponse(path, media_type=_kind(name) or "application/octet-stream", filename=name)

    @app.delete("/api/jobs/{job}", tags=["uploads"], status_code=204)
    def drop(job: JobId) -> None:
        """End and delete an upload."""
        desk.kept().drop(job)


def _length(request: Any) -> int | None:
    said = request.headers.get("content-length", "")
    return int(said) if said.isdecimal() and len(said) < 20 else None


async def _body(request: Any) -> AsyncIterator[bytes]:
    async for part in request.stream():
        if part:
            yield part


def _download(data: bytes, name: str) -> Any:
    from starlette.responses import Response

    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data, media_type=_kind(name), headers=headers)
