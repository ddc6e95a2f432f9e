"""docs/configuration.md is what the program says of itself."""

import subprocess


def test_the_reference_page_is_the_programs(build_dir, root):
    said = subprocess.run([build_dir / "boxoffice", "config-reference"], capture_output=True, text=True, check=True).stdout
    assert "| `lock-seconds` |" in said
    assert (root / "docs/configuration.md").read_text() == said, \
        "write it anew: build/boxoffice config-reference > docs/configuration.md"
