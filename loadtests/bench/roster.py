"""Who takes part, each by one name and one line, which all reports use."""

PROGRAMS = {
    "stagecast, bus in the process": "Stagecast without Redis",
    "stagecast P3": "Stagecast with P3's work, in P11d's rounds",
    "nchan": "nginx's hub in C, one worker; fed over a WebSocket for each channel, with many channels by POST",
    "nchan-posts": "the same hub, fed by a POST for each event",
    "pushpin": "Pushpin (Rust, C++), fed by a POST for each burst; an origin beside it lets it hold the streams",
    "mercure": "Caddy's hub in Go, fed by a POST for each event",
    "centrifugo": "a hub in Go, fed by a POST for each burst",
    "queue-hub": "a Python hub: Litestar, sse-starlette, one Redis subscriber, a queue for each browser",
    "plain-hub": "a Python hub: FastAPI, sse-starlette, a Redis subscriber for each browser",
    "plain-way": (
        "the whole service glued together by a good engineer in a hurry: FastAPI, a commit for each result, a PUBLISH "
        "for each event, a Redis subscriber for each browser"
    ),
}
