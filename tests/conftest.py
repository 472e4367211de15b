"""What holds for the tests in this folder: a bank gets a private Redis unless the test asks else.

Lessons are not in this folder: `pytest --nbval notebooks` runs them on the Redis that
`BANKKIT_REDIS_URL` names, if it names one.
"""

import os

os.environ.pop("BANKKIT_REDIS_URL", None)
