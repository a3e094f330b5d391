"""How the server does: requests by route and status, how long they took, what runs and waits. As Prometheus reads it, beside what the lake tells."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

# Methods that anybody may make up are one.
METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE")
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Measures:
    """The server's own numbers, in a registry of their own: two servers in one process do not share them."""

    def __init__(self) -> None:
        own = self.registry = CollectorRegistry()
        self._requests = Counter("workbench_http_requests", "Requests that were answered.", ("method", "route", "status"), registry=own)
        self._seconds = Histogram(
            "workbench_http_seconds", "Seconds from a request to the end of its reply.", ("route",), buckets=BUCKETS, registry=own
        )
        self.running = Gauge("workbench_http_queries_running", "Queries that hold a slot.", registry=own)
        self.waiting = Gauge("workbench_http_queries_waiting", "Queries that wait for a slot.", registry=own)
        self.following = Gauge("workbench_http_streams", "Runs that somebody follows.", registry=own)

    def served(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request; one that broke off has status 0."""
        route = route or "(none)"
        self._requests.labels(method if method in METHODS else "(other)", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> str:
        """The numbers, in Prometheus' text form."""
        return generate_latest(self.registry).decode()
