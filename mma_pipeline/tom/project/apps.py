"""The toolkit's app, with only the configured data services."""

from __future__ import annotations

from django.conf import settings
from tom_dataservices.apps import TomDataservicesConfig


class ChosenDataServices(TomDataservicesConfig):
    """The toolkit's app with the services of `settings.TOM_DATA_SERVICES`.

    Each is imported with the first page; ALeRCE alone brings pandas and matplotlib, 60 MB that every worker carries.
    """

    def data_services(self) -> list[dict[str, str]]:
        """The toolkit's list, without services that are not configured."""
        return [
            service
            for service in super().data_services()
            if service["class"].split(".")[-2] in settings.TOM_DATA_SERVICES
        ]
