"""The course travels in the wheel, below the package; all else about the build is pyproject.toml's."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

COURSE = ("notebooks", "exercises", "sample_app")
MADE_BY_USE = ("node_modules", "dist", "reports", ".git", ".ipynb_checkpoints", "__pycache__")


class WithTheCourse(build_py):
    """An editable install keeps using the clone."""

    def run(self) -> None:
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)  # nothing of an earlier build
        super().run()
        if not self.editable_mode:
            for part in COURSE:
                shutil.copytree(
                    part,
                    Path(self.build_lib, "labkit", "course", part),
                    ignore=shutil.ignore_patterns(*MADE_BY_USE),
                )


setup(cmdclass={"build_py": WithTheCourse})
