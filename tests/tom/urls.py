"""URLs of the tests: those of the project, and brokers as a TOM that still has them adds them."""

from django.urls import include, path

from mma_pipeline.tom.project.urls import urlpatterns as project_urls

urlpatterns = [path("alerts/", include("tom_alerts.urls", namespace="alerts")), *project_urls]
