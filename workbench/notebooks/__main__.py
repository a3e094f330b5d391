"""`python -m workbench.notebooks`: the process that executes a notebook for `workbench run`."""

from workbench.notebooks.executing import main

if __name__ == "__main__":
    main()
