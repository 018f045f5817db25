"""The profile of the AWS configuration that `--profile` names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_PROFILES: Final = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")
_KEYS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


@contextmanager
def aws_profile(name: str | None) -> Iterator[None]:
    """Use this profile meanwhile, in this process and in those that it starts. With None, nothing changes.

    Keys in the environment are set aside, since botocore prefers them to a profile of the environment. So the profile
    that is named wins, as it does for the AWS command line.
    """
    if name is None:
        yield
        return
    before = {each: os.environ.pop(each, None) for each in (*_PROFILES, *_KEYS)}
    os.environ["AWS_PROFILE"] = name
    try:
        yield
    finally:
        for each, value in before.items():
            os.environ.pop(each, None)
            if value is not None:
                os.environ[each] = value
