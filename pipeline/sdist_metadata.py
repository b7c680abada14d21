"""A build backend that builds nothing: it answers pip's question for an sdist's metadata with the sdist's PKG-INFO.

pip keeps a downloaded sdist only after its build backend told its metadata, which runs code of the package. `data.py`
puts this file where pip looks for that backend, so nothing of a package that is only read as data is ever run.
"""

from email.parser import Parser
from pathlib import Path


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: object = None) -> str:
    """Copy PKG-INFO of the unpacked sdist (the working directory, PEP 517) as the METADATA pip asks for."""
    text = Path("PKG-INFO").read_text(encoding="utf-8")
    fields = Parser().parsestr(text, headersonly=True)
    folder = Path(metadata_directory) / f"{fields['Name'].replace('-', '_')}-{fields['Version']}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(text, encoding="utf-8")
    return folder.name


def build_wheel(*arguments: object) -> str:
    """PEP 517 wants this name; a data package is never built."""
    raise NotImplementedError("data packages are read, never built")
