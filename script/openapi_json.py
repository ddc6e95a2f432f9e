#!/usr/bin/env python3
"""openapi_json.py IN.yaml OUT.json: api/openapi.yaml for clients that read JSON, made at build time."""
import json
import pathlib
import sys

import yaml

source, target = map(pathlib.Path, sys.argv[1:])
target.write_text(json.dumps(yaml.safe_load(source.read_text()), ensure_ascii=False, separators=(",", ":")) + "\n")
