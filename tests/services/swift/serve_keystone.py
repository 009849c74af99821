"""Serve Keystone with waitress: ``python serve_keystone.py PORT CONFIG`` (waitress-serve confuses it)."""

import os
import sys
import warnings

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    port, os.environ["OS_KEYSTONE_CONFIG_FILES"] = int(sys.argv[1]), sys.argv[2]
    sys.argv = ["keystone"]
    from keystone.wsgi.api import application
    from waitress import serve

    serve(application, host="127.0.0.1", port=port, threads=4)
