"""Write the generated pages of the documentation, or say which are not what they should be."""

import argparse
import json
import sys
from pathlib import Path

import yaml

import chart_page
import crd_page
import freshness
import picture
from markdown import PageError

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
CHART = ROOT / "charts" / "workshop-demo"
CRD = ROOT / "crds" / "workshopdemos.workshopdemo.dev.yaml"


def pages() -> dict[Path, str]:
    """Every generated page, and what it has to say."""
    values = (CHART / "values.yaml").read_text("utf-8")
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    transcript = (DOCS / "demo.txt").read_text("utf-8")
    return {
        DOCS / "reference" / "workshopdemo.md": crd_page.page(
            yaml.safe_load(CRD.read_text("utf-8"))
        ),
        DOCS / "reference" / "chart.md": chart_page.page(values, schema),
        DOCS / "demo.svg": picture.svg(transcript),
    }


def main(argv: list[str]) -> int:
    """Write, or check; what is wrong is one sentence and an exit code."""
    parser = argparse.ArgumentParser(prog="docs/generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    act = freshness.check if parser.parse_args(argv).check else freshness.write
    try:
        return act(pages(), ROOT)
    except PageError as error:
        print(f"✗ {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
