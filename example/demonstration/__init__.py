"""The parts of `demo.py`: the served site, a file's round trip, and the stopping."""


class DemoFailed(Exception):
    """What went wrong, for a person."""


def say(text: str) -> None:
    print(text, flush=True)
