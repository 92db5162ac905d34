"""Sets the clock that transformers' chat templates ask for the date."""

import datetime

from transformers.utils import chat_template_utils


def set_to(*moment):
    """From now on it is that moment: year, month, day, hour, minute, second, microsecond."""

    class FixedDate(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(*moment)

    chat_template_utils.datetime = FixedDate
