"""SQL of people who may read, and only that: `Guarded` runs it, `gate` says what of it may be run."""

from workbench.query.guarded.session import Answer, Guarded

__all__ = ["Answer", "Guarded"]
