"""`python -m petproctl` is `petproctl`."""

from petproctl.main import app

if __name__ == "__main__":
    app()
