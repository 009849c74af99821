"""`python -m mma_pipeline.tom COMMAND`: Django's command line with this package's TOM project."""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mma_pipeline.tom.project.settings")
    execute_from_command_line([f"{sys.executable} -m mma_pipeline.tom", *sys.argv[1:]])
