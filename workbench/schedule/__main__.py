"""`python -m workbench.schedule ROOT ID`: the process that minds a scheduled run."""

from workbench.schedule.minding import main

if __name__ == "__main__":
    main()
