"""SQL in notebooks: `%load_ext workbench` gives `%%sql` and `%sql` over the open workbench, with completion."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load(shell: "InteractiveShell") -> None:
    """Give a notebook the magics, and relations shown as tables. Loading again changes nothing."""
    from workbench.magic.cells import SqlMagics
    from workbench.magic.completion import matcher
    from workbench.query import rendering

    unload(shell)
    magics = SqlMagics(shell)
    shell.register_magics(magics)
    rendering.install()
    shell.Completer.custom_matchers.append(matcher(magics))


def unload(shell: "InteractiveShell") -> None:
    """Take the magics away again; whoever asks for `%%sql` is told that there is none."""
    matchers: list[Any] = shell.Completer.custom_matchers
    matchers[:] = [one for one in matchers if getattr(one, "matcher_identifier", "") != "workbench.sql"]
    for kind in ("line", "cell"):
        found = shell.magics_manager.magics[kind].get("sql")
        if getattr(getattr(found, "__self__", None), "workbench", False):
            del shell.magics_manager.magics[kind]["sql"]
