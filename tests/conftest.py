"""Settings that every test shares."""

from hypothesis import HealthCheck, settings

# The same examples on each run: a failure seen once is seen again. Deadlines would measure the other worker.
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")
