"""How names in files are spelled here."""


def domain_of(name: str | bytes) -> str:
    """The domain as this frontend spells it: "" for the standard one."""
    return "" if name == "ai.onnx" else text_of(name)


def text_of(name: str | bytes) -> str:
    """A name; protobuf gives bytes for one that is not UTF-8."""
    return name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name
