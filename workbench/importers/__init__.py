"""Old databases brought in: what each holds goes under the documented names, is counted and checked, and again tomorrow only what is new.

An `Origin` hands over the tables of one database; `matching` says which documented table each is, `taking` makes its values ours without loss,
`arriving` compares rows with those that are there and writes what is new, `run` drives. None of the origins knows anything of the lake.
"""
