"""`python -m canemo` is the command `canemo`."""

from canemo.cli import main

if __name__ == "__main__":
    main()
