"""A small project in a folder of its own: the sample plan, which tests edit, and data for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from wwc_eval.plans import Plan

ROOT = Path(__file__).resolve().parents[2]
WHOLE = (ROOT / "analysis_plans" / "family_conferencing_trial.yaml").read_text(encoding="utf-8")
# without what its size rests on, which edits of the design would contradict
SAMPLE = re.sub(r"(?m)^  power:\n(    .*\n)+", "", WHOLE)


@dataclass
class Project:
    """A folder with a plan that can be edited."""

    folder: Path
    text: str = SAMPLE

    @property
    def plan_file(self) -> Path:
        return self.folder / "analysis_plans" / "trial.yaml"

    @property
    def data_file(self) -> Path:
        return self.folder / "sample_data" / "family_conferencing_trial.csv"

    def edit(self, *pairs: tuple[str, str]) -> Project:
        """Replace pieces of the plan's text; a piece that is not there is a mistake of the test."""
        for old, new in pairs:
            assert old in self.text, old
            self.text = self.text.replace(old, new, 1)
        return self

    def write(self) -> Path:
        self.plan_file.parent.mkdir(parents=True, exist_ok=True)
        self.plan_file.write_text(self.text, encoding="utf-8")
        return self.plan_file

    def load(self) -> Plan:
        return Plan.load(self.write())

    def line_of(self, piece: str) -> int:
        return self.text[: self.text.index(piece)].count("\n") + 1


@pytest.fixture
def project(tmp_path):
    """Project with the sample plan and no data yet."""
    return Project(tmp_path)


def with_data(project: Project) -> Project:
    """The project with a small trial beside its plan."""
    from wwc_eval.data import write_csv
    from wwc_eval.data.samples import family_conferencing_trial

    project.data_file.parent.mkdir(parents=True)
    write_csv(family_conferencing_trial(20_261_123, families=400), project.data_file)
    project.edit(("expected_rows: [2200, 2800]", "expected_rows: [500, 900]"))
    project.write()
    return project


@pytest.fixture
def project_with_data(project):
    """Project with the sample plan and a small trial."""
    return with_data(project)


@pytest.fixture(scope="module")
def shared_project(tmp_path_factory):
    """The same, shared by the tests of a module that only read it."""
    return with_data(Project(tmp_path_factory.mktemp("project")))
