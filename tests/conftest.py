"""Fixtures that every test may use."""

from hypothesis import HealthCheck, settings

from mma_pipeline.adapters.earth_orientation import use_packaged_tables

pytest_plugins = ["tests.services.fixtures", "tests.homes"]

#: A busy machine draws examples slowly and runs them slowly: that says nothing about what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

#: astropy is what positions and times are compared with: it must answer offline and at any age of its tables.
use_packaged_tables()
