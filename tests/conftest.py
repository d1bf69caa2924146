"""Settings that every test shares."""

import os

from hypothesis import HealthCheck, settings

# The same examples on each run: a failure seen once is seen again. Deadlines would measure the other worker.
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")

# What is tested is the compiler as it is now; tests of the cache give it a folder of their own.
os.environ["ISTHMUS_CACHE"] = "off"
