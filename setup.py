"""Folder X installs as isthmus.X and api/ as isthmus itself; the rest of the build is in pyproject.toml.

The static `packages.find` cannot rename what it finds (compiler.ir -> isthmus.compiler.ir), and a list kept
by hand loses the next folder that somebody adds, so the packages are searched for here.
"""

from setuptools import find_packages, setup

FOLDERS = {
    "isthmus": "api",
    "isthmus.compiler": "compiler",
    "isthmus.frontends": "frontends",
    "isthmus.backends": "backends",
    "isthmus.runtime": "runtime",
}

setup(
    package_dir=FOLDERS,
    packages=[
        package
        for root, folder in FOLDERS.items()
        for package in (root, *(f"{root}.{found}" for found in find_packages(folder)))
    ],
)
