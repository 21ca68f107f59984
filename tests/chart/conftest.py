"""HELM and KUBE_SCORE name the programs to use; else those on PATH are taken."""

import os
import shutil

import pytest

from chart.rendering import CI_VALUES, Object, render, values_file


def program(name: str, variable: str) -> str:
    found = os.environ.get(variable) or shutil.which(name)
    if not found:
        pytest.fail(f"{name} is needed: put it on PATH, or name it in the variable {variable}")
    return found


@pytest.fixture(scope="session")
def helm() -> str:
    return program("helm", "HELM")


@pytest.fixture(scope="session")
def kube_score() -> str:
    return program("kube-score", "KUBE_SCORE")


@pytest.fixture(params=[None, *CI_VALUES], ids=lambda path: path.stem if path else "default")
def rendered(helm: str, request: pytest.FixtureRequest) -> list[Object]:
    return render(helm, *values_file(request.param))
