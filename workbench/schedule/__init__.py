"""Schedules: commands that are run at times as cron writes them, by a server in the foreground or by the system's cron or systemd.

`book` keeps them in <root>/schedules.json, `cron` knows when they are due, `firing` claims and begins what is, `minding` sees each run to its end and
has `notifying` tell of failures; `serving` waits for the next time, `installing` has the system do so.
"""
